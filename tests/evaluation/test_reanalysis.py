import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from small_book import ROOT, add_results, add_similarity, make

from catscans_lib import results


@pytest.fixture
def play(tmp_path, monkeypatch):
    """The names that the notebook's cells define, on small results; `shown` has what it displays."""
    make(tmp_path)
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    monkeypatch.setattr(results, "of_transfers", lambda profile, which: pd.DataFrame())
    add_results("demo")
    add_similarity("demo")
    load = results.load
    classes = pd.DataFrame(
        [("isic2018", name, source, 0.5, "fine_tune") for name in ("NV", "DF") for source in ("dtd", "none")],
        columns=["target", "class", "source", "auc", "mode"],
    )
    monkeypatch.setattr(results, "load", lambda profile: load(profile) | {"class_aucs": classes})
    monkeypatch.setattr(plt, "show", lambda: None)
    shown = []
    names = {"display": shown.append, "shown": shown}
    for cell in nbformat.read(ROOT / "notebooks/reanalysis.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source.replace("%matplotlib inline\n", ""), names)
    shown.clear()
    yield names
    plt.close("all")


def test_menus_list_what_has_results_with_random_weights_last(play):
    assert list(play["sources"].values()) == ["imagenet", "dtd", "none"]
    assert list(play["modes"].values()) == ["fine_tune", "linear_probe"]
    assert list(play["targets"].values()) == ["isic2018"]
    assert play["measures"]["LogME"] == "logme"


def test_two_different_sources_are_shown_fold_by_fold_with_their_tests(play, capsys):
    play["show_pair"]("isic2018", "fine_tune", "dtd", "imagenet")
    folds, tests = play["shown"]
    assert folds["difference"].tolist() == pytest.approx([-0.02, 0.12])
    assert tests["test"].tolist() == ["nadeau_bengio", "bootstrap"]
    play["show_pair"]("isic2018", "fine_tune", "dtd", "dtd")
    assert "two different sources" in capsys.readouterr().out


def test_a_measure_is_plotted_and_its_associations_are_printed(play):
    play["show_measure"]("logme", "fine_tune")
    assert set(play["shown"][0]["statistic"]) == {"spearman", "regret", "accuracy"}


def test_the_command_repeats_a_run_with_the_chosen_seed(play, capsys):
    play["show_command"]("dtd", "chest", 7)
    given = "-p profile demo -p source dtd -p target chest"
    expected = f'.venv/bin/papermill notebooks/transfer.ipynb out.ipynb {given} -y "seeds: [7]"'
    assert capsys.readouterr().out.strip() == expected
