"""Published scores against outcomes: the panels are those of the studies, and values agree with published ones."""

import pytest
from scipy import stats

from catscans_lib.evidence import contrasts, prediction, studies
from catscans_lib.transferability import associations


@pytest.fixture(scope="module")
def tables():
    return studies.load()


@pytest.fixture(scope="module")
def panels(tables):
    return dict(prediction.panels(tables, studies.described()))


def test_the_panels_hold_the_foreign_pairs_of_medical_targets_with_scores(panels):
    counts = {name: len(panel.results.drop_duplicates(["source", "target"])) for name, panel in panels.items()}
    assert {name: n for name, n in counts.items() if not name.startswith("own_")} == {
        "cats_scans": 21,
        "medmnist": 154,
        "scores_2024": 30,
        "scores_2023": 30,
    }
    rules = {name: set(panel.rules["measure"]) for name, panel in panels.items()}
    assert {"always_imagenet", "largest_source", "most_classes", "random"} <= rules["cats_scans"]
    assert {"imagenet_top1", "trained_before"} <= rules["scores_2024"] and "trained_before" not in rules["scores_2023"]
    assert not panels["cats_scans"].scores["larger_is_closer"].any()


def test_medmnist_scores_have_the_published_mean_kendall(panels):
    table = associations.associations(*panels["medmnist"], evidence="medmnist", n_draws=100)
    over_all = table[(table["target"] == "all") & (table["statistic"] == "kendall")].set_index("measure")
    want = {"lp": 0.33, "nleep": 0.31, "fu": 0.25, "leep": 0.23, "logme": 0.23, "parc": 0.22, "ncti": 0.13}
    assert {name: over_all.loc[name, "value"] for name in want} == pytest.approx(want, abs=0.006)
    assert set(over_all["n"]) == {154}


def test_a_second_training_orders_the_models_anew_while_the_scores_repeat(tables):
    found = prediction.repeatability(tables, studies.described()).set_index(["target", "what"])
    outcomes = found.xs("outcome", level="what")
    assert outcomes["tau"].to_dict() == pytest.approx(
        {"brain_tumor": 0.04, "breakhis": 0.33, "isic2019": 0.33}, abs=0.006
    )
    assert outcomes["change"].to_dict() == pytest.approx(
        {"brain_tumor": 0.019, "breakhis": 0.008, "isic2019": 0.032}, abs=6e-4
    )
    assert found.drop(index="outcome", level="what")["tau"].median() == pytest.approx(0.96, abs=0.006)


def test_seed_noise_and_order_by_size_agree_with_the_table(tables):
    table = tables[contrasts.VARIES_SIZES]
    found = contrasts.by_size(table).set_index(["target", "n_per_class"])
    here = table[(table["target"] == "covidx") & (table["n_per_class"] == "10")].groupby(["source", "backbone"])[
        "value"
    ]
    whole = table[(table["target"] == "covidx") & (table["n_per_class"] == "all")].groupby(["source", "backbone"])[
        "value"
    ]
    row = found.loc[("covidx", "10")]
    assert row["sd"] == pytest.approx(here.std().median())
    assert row["tau"] == pytest.approx(stats.kendalltau(here.mean(), whole.mean()).statistic)
    assert list(found.loc["covidx"].index) == ["1", "5", "10", "100", "500", "all"]
    assert found["n_seeds"].eq(5).all()
