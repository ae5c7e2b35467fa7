"""Figures and tables are made again and compared. The notebook is replaced by a function that draws a small figure."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import small_book
import tiny
import yaml
from click.testing import CliRunner

from catscans_lib import figures, paths
from catscans_lib.book import templates
from catscans_lib.cli import main
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.runs import execute, recipe
from catscans_lib.sharing import verify

STEM = "evaluate/all/figures/summary_fine_tune"


def draw(run, profile, work):
    """Write a figure with its table, a table and a record, as a notebook does."""
    table = pd.DataFrame({"source": ["dtd", "none"], "auc": [0.5 + run.settings.draw_seed, 0.25]})
    _, ax = plt.subplots(figsize=(4, 2))
    ax.plot(table["auc"])
    figures.save(ax.figure, work / "figures", "summary_fine_tune", table, is_demo=True)
    plt.close(ax.figure)
    (work / "tables").mkdir()
    table.to_csv(work / "tables" / "aucs.csv", index=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project in which evaluate/all was drawn so."""
    folder = tiny.project(tmp_path)
    monkeypatch.setenv("CATSCANS_ROOT", str(folder))
    monkeypatch.setattr(execute, "run_notebook", draw)
    monkeypatch.setattr(recipe, "is_current", lambda *_: True)
    small_book.add_run("demo", "evaluate", "all")
    small_book.add_run("demo", "transfer", "dtd--chest", predictions=pd.DataFrame({"score": [1.0]}))
    figures.set_style()
    draw(expand.grid("demo")["evaluate/all"], "demo", paths.run_dir("demo", "evaluate", "all"))
    (folder / "results/demo/tables").mkdir()
    (folder / "results/demo/tables/aucs.csv").write_bytes(
        (folder / "results/demo/evaluate/all/tables/aucs.csv").read_bytes()
    )
    return folder


def problems(*names):
    found = verify.verify("demo", verify.parts("demo", names), lambda _: None)
    return {part.place: part.problem for part in found}


def test_what_is_made_again_from_the_same_runs_is_the_same_and_leaves_nothing(folder):
    assert problems() == {"figures/summary_fine_tune.svg": "", "tables/aucs.csv": ""}
    assert not list((folder / "results/demo/scratch").rglob("*.*"))


def test_a_figure_that_does_not_follow_from_its_table_is_named_with_the_cell(folder):
    path = folder / f"results/demo/{STEM}.csv"
    path.write_text(path.read_text().replace("0.25", "0.75"))
    (said,) = problems("summary*").values()
    assert "does not follow from its table summary_fine_tune.csv" in said
    assert "1 of 4 cells (auc in row 2 is 0.75, made again 0.25)" in said


def test_the_last_digits_of_sums_in_threads_do_not_count(folder):
    for path in (folder / "results/demo").rglob("aucs.csv"):
        path.write_text(path.read_text().replace("0.25", "0.25000000000000006"))
    assert problems("aucs") == {"tables/aucs.csv": ""}
    for path in (folder / "results/demo").rglob("aucs.csv"):
        path.write_text(path.read_text().replace("0.25000000000000006", "0.250001"))
    assert "auc in row 2 is 0.250001, made again 0.25" in problems("aucs")["tables/aucs.csv"]


def test_another_drawing_of_the_same_table_is_named(folder):
    path = folder / f"results/demo/{STEM}.svg"
    path.write_text(path.read_text().replace("Matplotlib v", "Matplotlib v0."))
    assert problems("summary_fine_tune") == {"figures/summary_fine_tune.svg": ""}  # only the version that drew it
    path.write_text(path.read_text().replace("#0072b2", "#d55e00", 1))
    assert "another drawing (1 of" in problems("summary_fine_tune")["figures/summary_fine_tune.svg"]


def test_tables_with_other_rows_or_a_changed_copy_are_named(folder):
    copy, own = (folder / f"results/demo/{place}/aucs.csv" for place in ("tables", "evaluate/all/tables"))
    copy.write_text(copy.read_text().replace("dtd", "stl10"))
    assert problems("aucs") == {"tables/aucs.csv": "differs from its copy results/demo/tables/aucs.csv"}
    for path in (copy, own):
        path.write_text("source,auc\ndtd,0.5\n")
    assert "has 1 rows of source, auc; made again, it has 2 rows" in problems("aucs.csv")["tables/aucs.csv"]


def test_the_book_may_not_show_another_drawing_than_the_results(folder):
    shown = folder / "_build/demo/source/figures/evaluate/all/summary_fine_tune.svg"
    shown.parent.mkdir(parents=True)
    shown.write_text("<svg/>")
    assert "the built book shows another drawing" in problems("evaluate/all/figures/*")["figures/summary_fine_tune.svg"]


@pytest.mark.parametrize("name", ["sumary", "predictions"])  # the second is of a run that trains
def test_unknown_names_and_those_of_trainings_are_refused(folder, name):
    with pytest.raises(InputError, match=f"Unknown .* '{name}' .* neither train .*: summary_fine_tune, aucs."):
        verify.parts("demo", [name])


def test_a_run_that_fails_is_a_difference_and_not_an_error(folder, monkeypatch):
    def fails(*_):
        raise execute.RunFailed("evaluate/all failed: KeyError: 'auc'")

    monkeypatch.setattr(execute, "run_notebook", fails)
    assert set(problems().values()) == {"cannot be made again: evaluate/all failed: KeyError: 'auc'"}


def test_the_command_names_what_differs_and_drafts_the_codecheck(folder):
    for name in ("CITATION.cff", "_config.yml"):
        (folder / name).write_bytes((tiny.ROOT / name).read_bytes())
    done = CliRunner().invoke(main.main, ["verify", "--codecheck"])
    assert (done.exit_code, done.output.splitlines()[-2]) == (
        0, "2 of 2 figures and tables of profile demo are the same.",
    )  # fmt: skip
    path = folder / f"results/demo/{STEM}.svg"
    path.write_text(path.read_text().replace("#0072b2", "#d55e00", 1))
    done = CliRunner().invoke(main.main, ["verify", "--codecheck"])
    assert done.exit_code == 1 and f"{STEM}.svg does not follow from its table" in done.output
    drafted = (folder / "codecheck.yml").read_text()
    content = yaml.safe_load(drafted)
    assert drafted.startswith("---\n") and content["version"] == "https://codecheck.org.uk/spec/config/1.0/"
    assert {"manifest", "codechecker", "report"} <= set(content)  # the three that the specification demands
    assert all((folder / entry["file"]).is_file() and entry["comment"] for entry in content["manifest"])
    assert "1 are the same" in content["summary"] and "FIXME" in content["codechecker"][0]["name"]


def test_the_draft_refers_to_the_book_by_its_doi(folder):
    cited = {"title": 'Cats: "a"', "authors": "A and B", "doi": "10.5281/zenodo.1", "address": "", "commit": ""}
    drafted = templates.rendered("_codecheck.yml", profile="demo", checked=verify.parts("demo"), cited=cited)
    paper = yaml.safe_load(drafted)["paper"]
    assert paper == {
        "title": 'Cats: "a"',
        "authors": [{"name": "A"}, {"name": "B"}],
        "reference": "https://doi.org/10.5281/zenodo.1",
    }
