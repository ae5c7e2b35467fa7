import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from small_book import ROOT, add_results, add_similarity, make

from catscans_lib import datasets, results
from catscans_lib.evaluation import reanalysis
from catscans_lib.transferability import similarity_tables


@pytest.fixture
def play(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    monkeypatch.setattr(results, "of_transfers", lambda profile, which: pd.DataFrame())
    add_results("demo")
    add_similarity("demo")
    yield reanalysis.Reanalysis("demo", datasets.titles(), similarity_tables.titles())
    plt.close("all")


def test_menus_list_what_has_results_with_random_weights_last(play):
    assert list(play.menus["source"].values()) == ["imagenet", "dtd", "none"]
    assert list(play.menus["mode"].values()) == ["fine_tune", "linear_probe"]
    assert list(play.menus["target"].values()) == ["isic2018"]
    assert play.menus["measure"]["LogME"] == "logme"


def test_two_different_sources_are_shown_fold_by_fold_with_their_tests(play, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(reanalysis, "display", shown.append)
    play.show_pair("isic2018", "fine_tune", "dtd", "imagenet")
    folds, tests = shown
    assert folds["difference"].tolist() == pytest.approx([-0.02, 0.12])
    assert tests["test"].tolist() == ["nadeau_bengio", "bootstrap"]
    play.show_pair("isic2018", "fine_tune", "dtd", "dtd")
    assert "two different sources" in capsys.readouterr().out


def test_the_command_repeats_a_run_with_the_chosen_seed(play):
    given = "-p profile demo -p source dtd -p target chest"
    expected = f'.venv/bin/papermill notebooks/transfer.ipynb out.ipynb {given} -y "seeds: [7]"'
    assert play.command("dtd", "chest", 7) == expected


def test_every_cell_of_the_notebook_runs(play, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    names = {"display": print}
    cells = nbformat.read(ROOT / "notebooks/reanalysis.ipynb", as_version=4).cells
    play.tables["class_aucs"] = pd.DataFrame(
        [("isic2018", c, s, 0.5, "fine_tune") for c in ("NV", "DF") for s in ("dtd", "none")],
        columns=["target", "class", "source", "auc", "mode"],
    )
    monkeypatch.setattr(reanalysis, "Reanalysis", lambda *given: play)
    for cell in cells:
        if cell.cell_type == "code":
            exec(cell.source.replace("%matplotlib inline\n", ""), names)
    assert names["play"] is play
