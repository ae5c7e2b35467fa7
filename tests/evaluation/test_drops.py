"""Drops from one collection to another, on predictions made by hand and simulated ones."""

import numpy as np
import pandas as pd
import pytest

from catscans_lib.evaluation import drops, intervals, tables
from catscans_lib.statistics import metrics

CHOSEN = {"n_draws": 200, "draw_seed": 0, "margin": 0.01}
NO_DETAILS = pd.DataFrame(columns=["image_id"])


def predictions(rows, source="dtd", fold=1, seed=0, mode="fine_tune", prefix="i"):
    """Predictions of one network; `rows` are (label, probability of b)."""
    table = pd.DataFrame(rows, columns=["label", "score_b"])
    ids = [f"{prefix}{number}" for number in range(len(rows))]
    return table.assign(
        source=source, target="chest", mode=mode, fold=fold, seed=seed, image_id=ids, group=ids, score_a=1 - table["score_b"],
    )[[*tables.KEYS, "image_id", "group", "label", "score_a", "score_b"]]  # fmt: skip


def simulated(rng, shift, n, n_folds=3, sources=("dtd",), n_seeds=1, outside=False):
    """Predictions of binormal scores: each fold predicts its own n images inside, all the same n outside."""
    parts, y = [], np.arange(n) % 2
    hard = {0: rng.normal(size=n)}
    for source in sources:
        for seed in range(n_seeds):
            for fold in range(1, n_folds + 1):
                image = hard[0] if outside else hard.setdefault(fold, rng.normal(size=n))
                score = 1 / (1 + np.exp(-(shift * y + image)))
                prefix = "x" if outside else f"f{fold}_"
                rows = list(zip(np.array(["a", "b"])[y], score, strict=True))
                parts.append(predictions(rows, source, fold, seed, prefix=prefix))
    return pd.concat(parts, ignore_index=True)


def test_drops_are_differences_of_means_over_folds_calculated_by_hand():
    # Inside: fold 1 ranks all 4 pairs right (1.0), fold 2 three of four (.75). Outside: .5 and 0 of the pairs, both networks.
    inside = pd.concat([
        predictions([("a", 0.1), ("a", 0.2), ("b", 0.6), ("b", 0.9)], fold=1, prefix="i"),
        predictions([("a", 0.1), ("a", 0.7), ("b", 0.6), ("b", 0.9)], fold=2, prefix="j"),
    ])  # fmt: skip
    outside = pd.concat([
        predictions([("a", 0.1), ("a", 0.9), ("b", 0.5), ("b", 0.6)], fold=1, prefix="x"),
        predictions([("a", 0.8), ("a", 0.9), ("b", 0.1), ("b", 0.2)], fold=2, prefix="x"),
    ])  # fmt: skip
    found = drops.of_pair(inside, outside, NO_DETAILS, **CHOSEN)
    assert found["aucs"][["auc_inside", "auc_outside"]].to_numpy().tolist() == [[1.0, 0.5], [0.75, 0.0]]
    row = found["drops"].iloc[0]
    assert (row["auc_inside"], row["auc_outside"], row["drop"]) == (0.875, 0.25, 0.625)
    assert row["below_chance"] == "a, b"
    assert row[["n_images_inside", "n_images_outside"]].tolist() == [8, 4]
    assert found["orders"].empty and found["parts"].empty


def test_the_same_images_are_drawn_for_all_folds_outside_and_other_ones_inside():
    rng = np.random.default_rng(0)
    outside = simulated(rng, 1.0, 40, outside=True)
    drawn = drops._draws(outside, 100, 0)
    assert drawn.index.names == tables.KEYS and len(drawn) == 3
    np.testing.assert_array_equal(drawn.iloc[0], drawn.iloc[2])  # equal scores in the same draws
    assert drawn.iloc[0].std() > 0.03


def test_the_interval_of_a_drop_covers_the_true_one():
    """True AUCs of binormal scores: .760 inside and .638 outside, so the drop is .122; 30 pairs of collections."""
    from scipy.stats import norm

    rng, inside_is = np.random.default_rng(1), []
    true = norm.cdf(1.0 / np.sqrt(2)) - norm.cdf(0.5 / np.sqrt(2))
    for _ in range(30):
        inside, outside = simulated(rng, 1.0, 40), simulated(rng, 0.5, 80, outside=True)
        aucs = [tables.fold_aucs(part, tables.KEYS, "macro") for part in (inside, outside)]
        draws = [
            intervals.draws(inside, n_draws=300, seed=0, average="macro"), drops._draws(outside, 300, 0),
        ]  # fmt: skip
        row = drops.drops(inside, outside, aucs, [intervals.cell_means(one) for one in draws]).iloc[0]
        inside_is.append(row["low"] <= true <= row["high"])
    assert np.mean(inside_is) >= 0.83  # five misses of 30 have p = .004 at 95 %


def test_sources_that_change_places_have_a_tau_below_1_and_their_best_ones_are_named():
    def collection(quality, prefix):
        parts = []
        for source, wrong in quality.items():
            rows = [("a", 0.2)] * 20 + [("b", 0.1)] * wrong + [("b", 0.9)] * (20 - wrong)
            parts += [predictions(rows, source, fold, prefix=f"{prefix}{fold}") for fold in (1, 2)]
        return pd.concat(parts)

    one = collection({"none": 9, "dtd": 1, "natural": 3, "stl10": 5}, "i")
    other = collection({"none": 1, "dtd": 1, "natural": 7, "stl10": 4}, "x")
    found = drops.of_pair(one, other, NO_DETAILS, **CHOSEN)
    row = found["orders"].iloc[0]
    assert row["tau"] == pytest.approx(1 / 3)  # dtd first in both, the two others change places
    assert row["low"] <= row["tau"] <= row["high"]
    assert (row["n_sources"], row["best_inside"], row["best_outside"]) == (3, "dtd", "dtd")
    compared = found["comparisons"]
    assert set(compared["test"]) == {"bootstrap"} and len(compared) == 6


def test_calibration_is_that_of_the_metrics_and_overconfidence_is_signed():
    rng = np.random.default_rng(2)
    score = rng.random(60)
    label = np.where(rng.random(60) < score, "b", "a")
    one, other = (
        predictions(list(zip(label, score, strict=True))),
        predictions([("a", 0.9), ("b", 0.9)] * 15, prefix="x"),
    )
    found = drops.calibration(one, other, n_draws=50, seed=0).set_index("metric")
    expected = metrics.classification_metrics(label, np.stack([1 - score, score], axis=1), ("a", "b"))
    assert found.loc["brier", "inside"] == pytest.approx(expected["brier"])
    assert found.loc["ece", "inside"] == pytest.approx(expected["ece"])
    assert found.loc["overconfidence", "outside"] == pytest.approx(0.4)  # says .9, half are right
    assert found.loc["ece", "outside"] == pytest.approx(0.4)
    assert (found["low"] <= found["change"] + 0.05).all() and (found["high"] >= found["change"] - 0.05).all()


def test_calibration_of_findings_is_the_mean_over_findings():
    one = predictions([("x", 0.8)] * 4).assign(true_a=[0, 0, 1, 1], true_b=[1, 1, 1, 0])
    found = drops.calibration(one, one, n_draws=5, seed=0).set_index("metric")["inside"]
    # a: score .2, half wrong; b: score .8, three of four right
    assert found["brier"] == pytest.approx(((0.04 + 0.64) / 2 + (3 * 0.04 + 0.64) / 4) / 2)
    assert found["overconfidence"] == pytest.approx((0.3 + 0.05) / 2)


def test_parts_with_few_images_of_a_class_are_named_and_not_judged():
    outside = pd.concat([predictions([("a", 0.2), ("b", 0.8), ("b", 0.1)] * 20, fold=fold) for fold in (1, 2)])
    sex = ["female"] * 30 + ["male"] * 24 + ["unknown"] * 6
    details = pd.DataFrame({"image_id": [f"i{number}" for number in range(60)], "sex": sex})
    found = drops.parts(outside, details, n_draws=50, seed=0).set_index("part")
    assert found.loc["female", ["auc", "n_images", "fewest"]].tolist() == [pytest.approx(0.5), 30, 10]
    assert found.loc["male", ["n_images", "fewest"]].tolist() == [24, 8] and np.isnan(found.loc["male", "auc"])
    assert found.loc["not known", "n_images"] == 6
    assert 0 < found.loc["female", "low"] < 0.5 < found.loc["female", "high"] < 1


def test_ages_are_cut_into_bands_and_other_numbers_into_thirds():
    ages = pd.Series(["29", "30", "49.5", "70", "", "unknown", "1", "2", "3", "4"], name="age")
    expected = ["below 30", "30 to below 50", "30 to below 50", "70 and above", "not known", "not known"]
    assert drops.bands(ages).tolist()[:6] == expected
    thirds = drops.bands(pd.Series(np.arange(1.0, 10.0), name="kilovolt"))
    assert thirds.value_counts().tolist() == [3, 3, 3]
    assert drops.bands(pd.Series(["1", "2", "1"], name="device")).tolist() == ["1", "2", "1"]
