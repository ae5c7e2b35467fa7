"""Which runs a sweep is about."""

import pytest
import tiny

from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.sweep.selection import select, with_needs


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tiny.project(tmp_path)))
    content = tiny.grid()
    content["datasets"]["stl10"] = {"size_px": 24, "n_images": 100}
    content["pretrain"]["sources"]["stl10"] = {"epochs": 3}
    tiny.write_grid(tmp_path, content)
    return expand.grid("demo")


def test_without_a_choice_all_runs_are_chosen(runs):
    assert select(runs) == list(runs)


def test_runs_are_chosen_by_any_parameter(runs):
    assert select(runs, only=(("target", "chest"),)) == [
        "transfer/none--chest", "transfer/dtd--chest", "transfer/stl10--chest", "feature_maps/chest", "similarity/chest",
    ]  # fmt: skip
    assert select(runs, only=(("epochs", 3),)) == ["pretrain/stl10"]
    assert select(runs, only=(("step", "pretrain"),)) == ["pretrain/dtd", "pretrain/stl10"]


def test_values_of_one_name_are_alternatives_and_names_narrow_each_other(runs):
    two = (("source", "dtd"), ("source", "stl10"), ("step", "transfer"))
    assert select(runs, only=two) == ["transfer/dtd--chest", "transfer/stl10--chest"]
    assert select(runs, ("transfer/dtd--chest", "pretrain/dtd"), (("step", "pretrain"),)) == ["pretrain/dtd"]


def test_a_value_in_a_list_matches(runs):
    assert "feature_maps/chest" in select(runs, only=(("sources", "stl10"),))
    assert select(runs, only=(("modes", "fine_tune"),)) == [key for key in runs if key.startswith("transfer/")]


def test_what_a_run_needs_comes_with_it_from_far_too(runs):
    needed = with_needs(runs, ["transfer/dtd--chest"])
    assert needed == ["ingest/dtd", "ingest/chest", "pretrain/dtd", "transfer/dtd--chest"]


@pytest.mark.parametrize(
    ("keys", "only", "message"),
    [
        (("transfer/cats--chest",), (), "Unknown run 'transfer/cats--chest'; known: ingest/dtd"),
        ((), (("targt", "chest"),), "--only targt: no run has such a parameter; known: .*target"),
        ((), (("target", "cats"),), "--only target=cats matches no run. target is one of: chest."),
        ((), (("step", "pretrain"), ("target", "chest")), "matches no run"),
    ],
)
def test_what_matches_nothing_is_refused_with_what_there_is(runs, keys, only, message):
    with pytest.raises(InputError, match=message):
        select(runs, keys, only)
