"""Which runs a sweep is about, and which finished runs are kept although their code has changed."""

import json
import re
from dataclasses import replace

import pytest
import tiny

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.runs import recipe as run_recipe
from catscans_lib.sweep.selection import describe_outdated, gaps, outdated_by_code, select, trust, with_needs


@pytest.fixture
def runs(project):
    content = tiny.grid()
    content["datasets"]["stl10"] = {"size_px": 24, "n_images": 100}
    content["pretrain"]["sources"]["stl10"] = {"epochs": 3}
    tiny.write_grid(project, content)
    return expand.grid("demo")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["transfer/*--chest"], ["transfer/none--chest", "transfer/dtd--chest", "transfer/stl10--chest"]),
        (["pretrain/*", "ingest/dtd"], ["ingest/dtd", "pretrain/dtd", "pretrain/stl10"]),
        (["transfer/dtd--chest"], ["transfer/dtd--chest"]),
    ],
)
def test_runs_are_selected_by_name_and_pattern_in_the_order_of_the_grid(runs, patterns, expected):
    assert select(runs, patterns) == expected
    assert select(runs) == list(runs)


def test_a_run_brings_all_runs_that_it_needs_also_indirectly(runs):
    needed = with_needs(runs, ["transfer/dtd--chest"])
    assert needed == ["ingest/dtd", "ingest/chest", "pretrain/dtd", "transfer/dtd--chest"]


@pytest.mark.parametrize("patterns", [["transfer/cats--chest"], ["pretrain/dtd", "*--cats"]])
def test_a_selection_without_match_is_refused_with_the_known_names(runs, patterns):
    with pytest.raises(InputError, match=f"Unknown run '{re.escape(patterns[-1])}'; known: ingest/dtd"):
        select(runs, patterns)


@pytest.fixture
def finished(project):
    """A project whose ingests and overlaps are finished, made with the current code."""
    runs = {key: run for key, run in expand.grid("demo").items() if run.step in ("ingest", "overlaps")}
    for run in runs.values():
        write(run, run_recipe.recipe(run, "demo"))
    return runs


def write(run, recipe):
    folder = paths.run_dir("demo", run.step, run.name)
    folder.mkdir(parents=True, exist_ok=True)
    code = {"fingerprint": run_recipe.code_fingerprint(run.step, run.parameters)}
    record = {
        "status": "completed",
        "run_id": f"{run.key}-1",
        "recipe": recipe,
        "code": code,
        "parameters": run.parameters,
    }
    (folder / "run.json").write_text(json.dumps(record))


def change_code(monkeypatch, step):
    plain = run_recipe.code_fingerprint
    monkeypatch.setattr(run_recipe, "code_fingerprint", lambda name, values: plain(name, values) + "x" * (name == step))


def test_runs_made_with_the_current_code_are_not_outdated(finished):
    assert outdated_by_code("demo", finished) == []
    assert describe_outdated("demo", finished, run_recipe.current("demo", finished)) == []


def test_changed_code_outdates_the_runs_of_its_notebook_and_the_message_names_it(finished, monkeypatch):
    change_code(monkeypatch, "ingest")
    found = outdated_by_code("demo", finished)
    assert found == ["ingest/dtd", "ingest/chest"]
    assert describe_outdated("demo", finished, run_recipe.current("demo", finished)) == [
        "  outdated: 2 ingest runs, because their code changed",
        "  outdated: 1 overlaps run, because an input changed",
        "  --trust keeps the runs whose code alone has changed",
    ]


def test_the_gaps_of_a_book_are_the_runs_that_are_missing_or_outdated(finished, monkeypatch):
    change_code(monkeypatch, "ingest")
    found = gaps("demo")
    assert found["outdated"] == ["ingest/dtd", "ingest/chest", "overlaps/all"]
    assert found["missing"] == [key for key in expand.grid("demo") if key not in found["outdated"]]


def test_changed_settings_are_named(finished):
    runs = {
        key: replace(run, settings=run.settings.model_copy(update={"size_px": 25}))
        for key, run in finished.items()
        if run.step == "ingest"
    }
    assert describe_outdated("demo", runs, []) == ["  outdated: 2 ingest runs, because settings changed: size_px"]


def test_trusted_runs_are_up_to_date_until_their_code_changes_again(finished, monkeypatch):
    change_code(monkeypatch, "ingest")
    assert run_recipe.current("demo", finished) == []
    trust("demo", outdated_by_code("demo", finished), finished)
    assert run_recipe.current("demo", finished) == list(finished)
    assert outdated_by_code("demo", finished) == []
    change_code(monkeypatch, "ingest")
    assert outdated_by_code("demo", finished) == ["ingest/dtd", "ingest/chest"]


def test_a_run_with_other_settings_cannot_be_trusted(finished, monkeypatch):
    write(finished["ingest/dtd"], "another")
    change_code(monkeypatch, "ingest")
    assert outdated_by_code("demo", finished) == ["ingest/chest"]
