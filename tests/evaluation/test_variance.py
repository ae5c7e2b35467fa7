"""Variance of an AUC by component, and differences of sources over pretraining seeds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from catscans_lib.evaluation import variance

KEY = {"target": "chest", "mode": "fine_tune"}
SD = {"source": 0.05, "pretrain_seed": 0.02, "fold": 0.03, "transfer_seed": 0.01, "images": 0.015}


def runs(rng, n_sources=6, n_networks=4, n_folds=5, n_seeds=3, sd=SD):
    """Return AUCs of all combinations, and random weights, whose AUC is far from the others."""
    names, folds = [f"s{number}" for number in range(n_sources)], rng.normal(size=n_folds) * sd["fold"]
    folds = folds + rng.normal(size=n_folds) * sd["images"]
    rows = []
    for source, mean in zip(names, 0.8 + rng.normal(size=n_sources) * sd["source"], strict=True):
        for network in range(n_networks):
            moved = mean + rng.normal() * sd["pretrain_seed"]
            for fold in range(n_folds):
                for seed in range(n_seeds):
                    auc = moved + folds[fold] + rng.normal() * sd["transfer_seed"]
                    rows.append((source, network, fold + 1, seed, auc))
    rows += [("none", 0, fold + 1, seed, 0.1 * seed) for fold in range(n_folds) for seed in range(n_seeds)]
    table = pd.DataFrame(rows, columns=["source", "pretrain_seed", "fold", "seed", "auc"])
    return table.assign(**KEY, n_images=40)


def drawn(aucs, sd, own=0.0, n_draws=4000):
    """Return draws that move all runs of a fold alike by `sd`, and each by `own`."""
    rng = np.random.default_rng(9)
    shared = {fold: rng.normal(size=n_draws) * sd for fold in aucs["fold"].unique()}
    values = [row.auc + shared[row.fold] + rng.normal(size=n_draws) * own for row in aucs.itertuples()]
    return pd.DataFrame(np.stack(values), index=pd.MultiIndex.from_frame(aucs[variance.RUN]))


def test_simulated_components_come_back_within_their_intervals():
    found = []
    for number in range(25):
        aucs = runs(np.random.default_rng(number), 4, 3, 4, 2)
        table = variance.split(aucs, drawn(aucs, SD["images"], own=0.01, n_draws=300), n_draws=400)
        found.append(table.set_index("component"))
    for name, sd in SD.items():
        values = np.array([table.loc[name, "variance"] for table in found])
        assert abs(values.mean() - sd**2) < 3.5 * values.std() / len(values) ** 0.5 + 0.03 * sd**2
        covered = np.mean([table.loc[name, "low"] <= sd <= table.loc[name, "high"] for table in found])
        assert covered > 0.8
    shares = np.array([table["share"].sum() for table in found])
    assert shares == pytest.approx(np.ones(25))


def test_without_repeats_components_are_missing_and_the_rest_has_another_name():
    aucs = runs(np.random.default_rng(0), 4, 1, 3, 2)
    assert np.isnan(variance.split(aucs, drawn(aucs, 0.01)).set_index("component").loc["pretrain_seed", "sd"])
    aucs = runs(np.random.default_rng(0), 4, 2, 3, 1)
    found = variance.split(aucs, drawn(aucs, 0.01)).set_index("component")
    assert "transfer_seed" not in found.index
    assert found.loc["source", "n_levels"] == 4 and found.loc["images", "n_levels"] == 40
    assert found.loc["rest", "sd"] > 0 or found.loc["rest", "variance"] <= 0
    assert found["share"].sum() == pytest.approx(1)


def test_images_that_explain_more_than_all_folds_leave_nothing_to_the_rest_of_the_fold():
    aucs = runs(np.random.default_rng(1), sd=SD | {"fold": 0.0, "images": 0.0})
    found = variance.split(aucs, drawn(aucs, 0.05)).set_index("component")
    assert found.loc["images", "sd"] == pytest.approx(0.05, rel=0.05)
    assert found.loc["fold", "variance"] < 0 and found.loc["fold", ["sd", "share", "low"]].tolist() == [0, 0, 0]


def test_a_difference_over_pretraining_seeds_is_students_t_with_a_pooled_variance():
    means = {("a", 0): 0.9, ("a", 1): 0.88, ("b", 0): 0.8, ("b", 1): 0.86, ("weights", 0): 0.95, ("none", 0): 0.5}
    rows = [
        {"source": source, "pretrain_seed": seed, **KEY, "fold": fold, "seed": 0, "auc": mean + 0.01 * (-1) ** fold}
        for (source, seed), mean in means.items()
        for fold in (1, 2)
    ]
    first = pd.DataFrame([{**KEY, "source_a": "b", "source_b": "a", "verdict": "b"}])
    found = variance.differences(pd.DataFrame(rows), first).set_index(["source_a", "source_b"])
    assert ("weights", "none") not in found.index and len(found) == 5
    pooled = (0.02**2 / 2 + 0.06**2 / 2) / 2
    row, reach = found.loc[("a", "b")], stats.t.ppf(0.975, 2) * pooled**0.5
    assert row[["difference", "low", "high"]].tolist() == pytest.approx([0.06, 0.06 - reach, 0.06 + reach])
    assert (row["first"], row["verdict"], row["n_a"]) == ("known", "open", 2)
    given = found.loc[("a", "weights")]
    assert given["high"] - given["difference"] == pytest.approx(reach / 2**0.5) and given["first"] == ""
    assert given["p"] == pytest.approx(2 * stats.t.sf(0.06 / (pooled / 2) ** 0.5, 2))
    assert found.loc[("a", "none"), "verdict"] == "a" and (found["p_adjusted"] >= found["p"]).all()


def test_one_network_of_every_source_gives_no_interval_over_pretraining_seeds():
    aucs = runs(np.random.default_rng(0), 3, 1, 2, 1)
    assert variance.differences(aucs, pd.DataFrame()).empty
