"""Differences of natural and medical sources: choices made elsewhere, intervals by the study's repeats, and their means."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from catscans_lib.evidence import contrasts, studies
from catscans_lib.statistics import paired_tests

NATURAL, MEDICAL = "natural", "medical"


def study(repeats, **changes):
    facts = {"title": "Small", "citation": "a2020", "repository": "a/b", "commit": "none", "licence": "MIT", "rows": 1}
    return studies.Study(
        **facts | {"metrics": ["auc"], "repeats": repeats, "mode": "fine_tune", "caveats": ["small"]} | changes
    )


def published():
    """Return tables and records of the published studies, without our own."""
    both = studies.load(), studies.described()
    return tuple({name: one for name, one in of.items() if not name.startswith("own_")} for of in both)


def table(rows):
    """Rows of target, source, source_kind, repeat and value (low, high) as a table of outcomes."""
    columns = ["target", "source", "source_kind", "repeat", "value", "low", "high"]
    found = pd.DataFrame([(*row, np.nan, np.nan)[:7] for row in rows], columns=columns)
    same = {
        "study": "small",
        "backbone": "a",
        "modality": "skin",
        "mode": "fine_tune",
        "metric": "auc",
        "n_train": 80.0,
    }
    return found.assign(**same, overlap="none", fold=found["repeat"], seed=found["repeat"])


def three_sources(values):
    """Return one target with a natural and two medical sources, by lists of values per repeat."""
    kinds = {"imagenet": NATURAL, "chest": MEDICAL, "skin": MEDICAL}
    return table([("t", name, kinds[name], n, v) for name, of in values.items() for n, v in enumerate(of, start=1)])


def test_the_medical_source_is_the_one_that_was_best_on_the_other_folds():
    # Each medical source is best in one fold; on the other fold, it is the worse one.
    values = {"imagenet": [0.8, 0.8], "chest": [0.9, 0.5], "skin": [0.5, 0.9]}
    (row,) = contrasts.contrasts(three_sources(values), study("seeds")).to_dict("records")
    assert row["difference"] == pytest.approx(0.8 - 0.5)
    assert row["best_of_each"] == pytest.approx(0.8 - 0.7)
    assert (row["natural"], row["n"], row["n_medical"]) == ("imagenet", 2, 2)


def test_without_repeats_the_source_that_was_best_on_the_other_targets_is_taken_and_there_is_no_interval():
    rows = [("a", "imagenet", NATURAL, 1, 0.8), ("a", "chest", MEDICAL, 1, 0.9), ("a", "skin", MEDICAL, 1, 0.7)]
    rows += [("b", "imagenet", NATURAL, 1, 0.8), ("b", "chest", MEDICAL, 1, 0.5), ("b", "skin", MEDICAL, 1, 0.6)]
    found = contrasts.contrasts(table(rows), study("none")).set_index("target")
    assert found["medical"].to_dict() == {"a": "skin", "b": "chest"}
    assert found["difference"].to_dict() == pytest.approx({"a": 0.1, "b": 0.3})
    assert found[["low", "high", "se"]].isna().all(axis=None)


def test_intervals_are_those_of_the_repeats():
    a, b = np.array([0.9, 0.8, 0.85, 0.95, 0.9]), np.array([0.8, 0.78, 0.8, 0.9, 0.7])
    rows = table(
        [("t", name, kind, n, v) for name, kind, of in (("i", NATURAL, a), ("m", MEDICAL, b)) for n, v in enumerate(of)]
    )
    of_folds, of_seeds = (contrasts.contrasts(rows, study(repeats)).iloc[0] for repeats in ("folds", "seeds"))
    corrected = paired_tests.nadeau_bengio(a - b, 0.25)
    assert of_folds[["low", "high"]].tolist() == pytest.approx([corrected.low, corrected.high])
    plain = stats.ttest_rel(a, b).confidence_interval()
    assert of_seeds[["low", "high"]].tolist() == pytest.approx([plain.low, plain.high])
    published = table([("t", "i", NATURAL, 1, 0.9, 0.8, 1.0), ("t", "m", MEDICAL, 1, 0.8, 0.75, 0.85)])
    row = contrasts.contrasts(published, study("interval")).iloc[0]
    assert (row["high"] - row["low"]) / 2 == pytest.approx(np.hypot(0.1, 0.05))


def test_sources_with_images_of_the_target_natural_targets_and_other_modes_are_left_out():
    rows = three_sources({"imagenet": [0.8, 0.8], "chest": [0.9, 0.9], "skin": [0.5, 0.5]})
    rows.loc[rows["source"] == "chest", "overlap"] = "known"
    assert contrasts.contrasts(rows, study("seeds"))["medical"].tolist() == ["skin"]
    for change in ({"modality": "photographs"}, {"mode": "frozen"}, {"source_kind": NATURAL}):
        assert contrasts.contrasts(rows.assign(**change), study("seeds")).empty


def test_published_differences_agree_with_those_of_the_tables_by_hand():
    tables, described = published()
    found = contrasts.main(contrasts.of_all(tables, described)).set_index(["study", "target"])
    outcomes = tables["radimagenet"].query("mode == 'fine_tune'").pivot_table("value", "target", "source")
    want = outcomes["imagenet"] - outcomes["radimagenet"]
    assert found.loc["radimagenet", "difference"].to_dict() == pytest.approx(want.to_dict())
    assert (want > 0).sum() == 6 and want.mean() == pytest.approx(0.026, abs=5e-4)  # as published beside the tables
    assert found.loc[("xray_scale", "tuberculosis"), "best_of_each"] == pytest.approx(-0.030, abs=5e-4)
    assert found.loc["pathology"].shape[0] == 41 and found.loc["self_supervised"].shape[0] == 8
    organs = found.loc["medmnist"].filter(like="organ", axis=0)
    assert set(organs["medical"]) == {"radimagenet"}  # the others show slices of the same scans


def test_the_random_effects_mean_has_the_interval_of_hartung_and_knapp():
    y, v = np.array([0.02, 0.10, -0.03, 0.06]), np.array([0.01, 0.02, 0.015, 0.03]) ** 2
    found = contrasts.pooled(pd.DataFrame({"difference": y, "se": np.sqrt(v)}))
    weights = 1 / (v + found["tau"] ** 2)
    mean = (weights * y).sum() / weights.sum()
    assert (weights * (y - mean) ** 2).sum() == pytest.approx(3, abs=1e-3)  # Paule and Mandel: Q equals k - 1
    se = np.sqrt((weights * (y - mean) ** 2).sum() / 3 / weights.sum())
    want = [mean, mean - stats.t.ppf(0.975, 3) * se, mean + stats.t.ppf(0.975, 2) * np.sqrt(found["tau"] ** 2 + se**2)]
    assert [found[name] for name in ("mean", "low", "prediction_high")] == pytest.approx(want)
    few = contrasts.pooled(pd.DataFrame({"difference": y[:3], "se": [0.1, 0.1, np.nan]}))
    assert few["k"] == 2 and np.isnan(few["mean"])


def test_summaries_keep_frozen_networks_and_accuracies_apart():
    per_target = contrasts.main(contrasts.of_all(*published()))
    found = contrasts.summaries(per_target).set_index(["kind", "group"])
    assert found.loc[("alike", "frozen"), "n"] == 41 and found.loc[("alike", "fine-tuned"), ["n", "k"]].tolist() == [
        25,
        13,
    ]
    assert found.loc["modality", "n"].sum() == found.loc["size", "n"].sum() == 25
    assert set(found.loc["without"].index) == {"cats_scans", "radimagenet", "xray_scale"}
    tuned, frozen = found.loc[("alike", "fine-tuned")], found.loc[("alike", "frozen")]
    assert tuned["low"] > 0 > tuned["prediction_low"] and frozen["high"] < 0


def test_our_own_runs_are_summarised_by_themselves_alone():
    of_all = contrasts.main(contrasts.of_all(*published()))
    one = of_all[of_all["study"] == "radimagenet"]
    with_ours = pd.concat([of_all, one.assign(study="own_sample", difference=one["difference"] + 0.5)])
    expected, found = contrasts.summaries(of_all), contrasts.summaries(with_ours)
    is_ours = found["group"] == "own_sample"
    assert found.loc[is_ours, ["kind", "n"]].to_numpy().tolist() == [["study", len(one)]]
    pd.testing.assert_frame_equal(found[~is_ours].reset_index(drop=True), expected)


def test_in_a_study_of_one_network_a_source_with_another_network_takes_no_part_unless_both_kinds_have_it():
    rows = three_sources({"imagenet": [0.8, 0.8], "chest": [0.7, 0.7], "skin": [0.6, 0.6]})
    larger = rows[rows["source"] == "imagenet"].assign(source="imagenet1k", backbone="larger", value=0.95)
    both = pd.concat([rows, larger])
    (row,) = contrasts.contrasts(both, study("seeds", of_one_network=True)).to_dict("records")
    assert (row["natural"], round(row["difference"], 6)) == ("imagenet", 0.1)
    (row,) = contrasts.contrasts(both, study("seeds")).to_dict("records")
    assert (row["natural"], round(row["difference"], 6)) == ("imagenet1k", 0.25)
    medical = rows[rows["source"] == "chest"].assign(source="mri", backbone="larger", value=0.9)
    (row,) = contrasts.contrasts(pd.concat([both, medical]), study("seeds", of_one_network=True)).to_dict("records")
    assert (row["natural"], row["medical"], round(row["difference"], 6)) == ("imagenet1k", "mri", 0.05)
