"""Curves over the number of training images: means and gains by hand, coverage of their intervals, crossings."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from catscans_lib.evaluation import intervals, sizes, tables

SIZES = (10, 100, 1000)
GAINS = {"dtd": np.array([0.1, 0.05, 0.0]), "stl10": np.array([0.02, 0.06, 0.03])}
KEY = {"target": "chest", "mode": "fine_tune"}


def runs(values, folds=(1, 2)):
    """Return AUCs of runs from means by source: an array (n_seeds, n_sizes); folds differ by ±.01."""
    rows = [
        {"source": source, **KEY, "n_train": n, "fold": fold, "seed": seed, "auc": auc + 0.01 * (-1) ** fold}
        for source, means in values.items()
        for seed, of_seed in enumerate(means)
        for n, auc in zip(SIZES, of_seed, strict=True)
        for fold in folds
    ]
    return pd.DataFrame(rows)


def drawn(aucs, sd=1e-6, n_draws=2000):
    """Return draws that all runs of a fold share."""
    noise = {fold: np.random.default_rng(fold).normal(size=n_draws) * sd for fold in aucs["fold"].unique()}
    values = np.stack([row.auc + noise[row.fold] for row in aucs.itertuples()])
    return pd.DataFrame(values, index=pd.MultiIndex.from_frame(aucs[sizes.RUN]))


@pytest.fixture
def two_sources():
    none = np.array([[0.5, 0.6, 0.8], [0.54, 0.64, 0.82], [0.52, 0.62, 0.81]])
    return {"none": none, "dtd": none + GAINS["dtd"], "stl10": none + GAINS["stl10"]}


def test_means_and_gains_are_over_folds_and_seeds_and_the_interval_is_students_over_seeds(two_sources):
    values = two_sources | {"dtd": two_sources["none"] + np.array([[0.1], [0.16], [0.10]])}
    found = sizes.curves(aucs := runs(values), drawn(aucs, n_draws=20_000)).set_index(["source", "n_train"])
    assert found.loc[("none", 100), "auc"] == pytest.approx(0.62) and np.isnan(found.loc[("none", 100), "gain"])
    row = found.loc[("dtd", 10)]
    assert row["se_seeds"] == pytest.approx(np.std([0.6, 0.7, 0.62], ddof=1) / 3**0.5) and row["se_images"] < 1e-5
    assert (row["gain"], row["n_seeds"], row["covers"]) == (pytest.approx(0.12), 3, "images and seeds")
    reach = (
        stats.t.ppf(0.975, 2 * 3) * np.std([0.1, 0.16, 0.10], ddof=1) / 3**0.5
    )  # seeds alike in all folds, three sizes
    assert [row["gain_low"], row["gain_high"]] == pytest.approx([0.12 - reach, 0.12 + reach], abs=0.08 * reach)


def test_with_one_seed_the_interval_is_that_of_the_images_alone(two_sources):
    aucs = runs({name: of[:1] for name, of in two_sources.items()})
    found = sizes.curves(aucs, drawn(aucs, sd=0.03))
    assert set(found["covers"]) == {"images"}
    width = (found["high"] - found["low"]) / (2 * 1.96)
    assert width.to_numpy() == pytest.approx(np.full(9, 0.03 / 2**0.5), rel=0.1)
    assert found["se_images"].to_numpy() == pytest.approx(np.full(9, 0.03 / 2**0.5), rel=0.1)
    assert found["se_seeds"].isna().all()
    of_gain = found.loc[found["source"] == "dtd", "gain_high"] - found.loc[found["source"] == "dtd", "gain_low"]
    assert of_gain.max() < 1e-6  # paired: the images are the same


def test_sources_without_random_weights_have_no_gain_and_no_crossing_with_them(two_sources):
    aucs = runs({"dtd": two_sources["dtd"], "stl10": two_sources["stl10"]})
    assert sizes.curves(aucs, drawn(aucs))["gain"].isna().all()
    assert set(sizes.crossings(aucs, drawn(aucs), 0.01)["other"]) == {"stl10"}


def test_crossings_with_random_weights_and_between_sources(two_sources):
    found = sizes.crossings(aucs := runs(two_sources), drawn(aucs), 0.01).set_index(["source", "other"])
    dtd = found.loc[("dtd", "none")]  # .05 at 100 and 0 at 1,000 images: .01 after 4/5 of the way
    assert dtd["n_train"] == pytest.approx(10 ** (2 + 4 / 5)) and dtd["where"] == "within" and dtd["share_within"] == 1
    assert found.loc[("stl10", "none"), ["n_train", "low", "high"]].isna().all()
    assert found.loc[("stl10", "none"), "where"] == "never"
    pair = found.loc[("dtd", "stl10")]  # .08 at 10 and -.01 at 100 images
    assert (pair["margin"], pair["n_train"]) == (0, pytest.approx(10 ** (1 + 8 / 9)))
    assert ("stl10", "dtd") not in found.index


def test_an_uncertain_gain_at_the_largest_size_leaves_the_upper_end_open(two_sources):
    none = two_sources["none"]
    aucs = runs({"none": none, "dtd": none + GAINS["dtd"] + np.array([[0.03], [-0.03], [0.0]])})
    row = sizes.crossings(aucs, drawn(aucs), 0.01).iloc[0]
    assert row["where"] == "within" and 10 < row["low"] < row["n_train"] and np.isnan(row["high"])
    assert 0 < row["share_within"] < 1


def test_draws_that_lack_a_class_are_left_out(two_sources):
    draws = drawn(aucs := runs({name: two_sources[name] for name in ("none", "dtd")}), sd=0.01)
    whole = sizes.crossings(aucs, draws, 0.01).iloc[0]
    draws.loc[draws.index.get_level_values("fold") == 1, range(0, 2000, 4)] = np.nan
    row = sizes.crossings(aucs, draws, 0.01).iloc[0]
    assert row["low"] == pytest.approx(whole["low"], rel=0.05) and row["share_within"] == pytest.approx(
        whole["share_within"], abs=0.05
    )


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([0.05, 0.03, 0.02], np.inf),
        ([0.0, 0.005, -0.1], 10),
        ([0.0, 0.03, 0.01], 1000),
        ([0.03, 0.0, 0.02], np.inf),
        ([0.02, 0.0, 0.0], 10**1.5),
    ],
)
def test_the_last_crossing_counts(gains, expected):
    assert sizes.crossing(np.array(SIZES, float), np.array(gains)[:, None], 0.01)[0] == pytest.approx(expected)


def simulated(rng, n_seeds, sd):
    """Return predictions of two folds whose scores move with the seed; the expected AUC is normal in the mean difference."""
    parts = []
    for fold in (1, 2):
        labels, images = np.tile([0, 1], 30), rng.normal(size=60) * 0.8
        for n, apart in ((10, 0.8), (100, 1.4)):
            for seed in range(n_seeds):
                shift = apart + sd[seed, n]
                score = labels * shift + images + 0.6 * rng.normal(size=60)
                names = [f"{fold}_{number}" for number in range(60)]
                part = {"source": "dtd", **KEY, "n_train": n, "fold": fold, "seed": seed, "image_id": names}
                part |= {"group": names, "label": np.array(["a", "b"])[labels]}
                parts.append(pd.DataFrame(part | {"score_a": -score, "score_b": score}))
    return pd.concat(parts, ignore_index=True)


def test_intervals_over_images_and_seeds_cover_the_expected_auc_of_simulated_predictions():
    rng, hits, tau = np.random.default_rng(0), [], 0.15
    truth = [stats.norm.cdf(apart / np.sqrt(2 + tau**2)) for apart in (0.8, 1.4)]
    for _ in range(12):  # 120 repeats: .94 with two seeds, .96 with three and five; .83 over images alone
        predictions = simulated(rng, 3, {(seed, n): tau * rng.normal() for seed in range(3) for n in (10, 100)})
        predictions[["score_a", "score_b"]] = 1 / (1 + np.exp(-predictions[["score_a", "score_b"]]))
        aucs = tables.fold_aucs(predictions, sizes.RUN)
        draws = intervals.draws(predictions, n_draws=100, seed=0, average="weighted", keys=sizes.RUN)
        found = sizes.curves(aucs, draws)
        hits.append((found["low"] <= truth) & (truth <= found["high"]))
    assert np.mean(hits) > 0.85
