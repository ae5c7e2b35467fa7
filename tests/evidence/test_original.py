"""The original study again: against the record of its own folder, and by hand on small invented tables."""

import numpy as np
import pandas as pd
import pytest
from reference import REFERENCE, needs_reference

from catscans_lib.evidence import original, studies

PAIRS = {  # as the record calls them
    "all": "all 24 pairs incl. 3 baselines", "no baselines": "21 pairs, baselines dropped",
    "no baselines, no ImageNet": "18 pairs, baselines and imagenet dropped",
    "isic2018": "target isic2018, baseline dropped", "chest": "target chest, baseline dropped",
    "pcam_middle": "target pcam_middle, baseline dropped",
    "within targets": "21 pairs, target-mean-centred (pearson p with 17 dof)",
}  # fmt: skip


@pytest.fixture
def table():
    return studies.read(original.NAME)


def small_table():
    """Two targets with their own and other sources, two folds, one distance."""
    aucs = {
        ("stl10", "chest"): (0.8, 0.9), ("dtd", "chest"): (0.7, 0.7), ("chest", "chest"): (0.6, 0.6),
        ("imagenet", "chest"): (0.9, 0.95), ("stl10", "isic2018"): (0.5, 0.6), ("dtd", "isic2018"): (0.8, 0.7),
        ("isic2018", "isic2018"): (0.5, 0.5), ("imagenet", "isic2018"): (0.9, 0.7), ("chest", "isic2018"): (0.6, 0.6),
    }  # fmt: skip
    distances = dict(
        zip([pair for pair in aucs if pair[0] not in (pair[1], "imagenet")], np.arange(2, 7) / 10, strict=True)
    )
    distances |= {("imagenet", "chest"): 0.2, ("imagenet", "isic2018"): 0.4}
    rows = [
        (s, t, fold, auc, distances.get((s, t), 0))
        for (s, t), values in aucs.items()
        for fold, auc in enumerate(values, 1)
    ]
    return pd.DataFrame(rows, columns=["source", "target", "fold", "value", "cosine"])


@needs_reference
def test_all_correlations_agree_with_the_record(table):
    record = pd.read_csv(REFERENCE / "correlations.csv").set_index(["predictor", "pairs"])
    found = original.correlations(table, studies.described()[original.NAME].scores)
    columns = ["n", "pearson_r", "pearson_p", "spearman_rho", "kendall_tau"]
    for measure in ("cosine_hessian", "cosine_symnorm", "kl_masked", "log_euclid_masked", "experts"):
        here = found[found["measure"] == measure].set_index("pairs")[columns]
        assert set(here.index) == set(PAIRS)
        predictor = "expert distance" if measure == "experts" else f"task2vec {measure}, mean of 100 subsets, self=0"
        want = record.loc[[(predictor, PAIRS[pairs]) for pairs in here.index], columns]
        np.testing.assert_allclose(here.to_numpy(float), want.to_numpy(float), rtol=0, atol=2e-8)


def test_ranks_of_the_published_table_have_friedman_s_p_by_permutation(table):
    found = original.ranks(table)
    assert (found["source"].iloc[0], found["mean_rank"].iloc[0], len(found)) == ("imagenet", 1, 7)
    # 26,170 of 2,000,000 random permutations of the published table
    assert found["friedman_p"].iloc[0] == pytest.approx(0.013085, abs=4 * np.sqrt(0.013 / 2e4))
    assert found["chi_squared_p"].iloc[0] == pytest.approx(0.0430, abs=5e-4)


def test_transfer_scores_and_random_draws_are_those_of_the_study(table):
    scores = original.outcomes(table)
    best = scores[(scores["source"] == "imagenet") & (scores["target"] == "isic2018")]
    assert best["transfer_score"].mean() == pytest.approx(7.511348653765)
    assert scores["is_baseline"].sum() == 15
    # 5,000 draws of five of the embeddings themselves: mean -0.046, sd 0.022, -0.113 to +0.046 (which ours may exceed).
    r = original.random_draws(table, 5000, np.random.default_rng(0))
    assert r.mean() == pytest.approx(-0.0458, abs=0.002)
    assert r.std() == pytest.approx(0.022, abs=0.004)
    assert (r < studies.described()[original.NAME].published["r"]).mean() < 0.02


def test_imagenet_has_the_distances_of_stl10_and_self_distances_are_0(table):
    found = table.drop_duplicates(["source", "target"]).set_index(["source", "target"])
    assert found.loc[("imagenet", "chest"), "cosine_hessian"] == found.loc[("stl10", "chest"), "cosine_hessian"] > 0
    assert found.loc[("chest", "chest"), "cosine_hessian"] == 0


def test_within_targets_subtracts_the_mean_of_each_target():
    found = original.correlations(small_table(), {"cosine": "Cosine"}).set_index("pairs")
    assert found["n"].to_dict() == {
        "all": 9, "no baselines": 7, "no baselines, no ImageNet": 5, "chest": 3, "isic2018": 4, "within targets": 7,
    }  # fmt: skip
    # chest: distances .2 .3 .2, scores 41.67 16.67 54.17; isic2018: .4 .5 .4 .6, scores 10 50 60 20
    x = np.array([0.2, 0.3, 0.2, 0.4, 0.5, 0.4, 0.6]) - np.repeat([0.7 / 3, 1.9 / 4], [3, 4])
    y = np.array([125 / 3, 50 / 3, 325 / 6, 10, 50, 60, 20]) - np.repeat([37.5, 35], [3, 4])
    want = (x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum())
    assert found.loc["within targets", "pearson_r"] == pytest.approx(want)


def test_textures_are_further_from_themselves_than_from_pcam():
    floor = original.noise_floor()
    found = floor.set_index(["source", "target"])
    assert found.loc[("dtd", "dtd"), "mean"] == pytest.approx(0.438, abs=5e-4)
    assert found.loc[("dtd", "pcam_middle"), "mean"] == pytest.approx(0.418, abs=5e-4)
    assert found["below_floor"].sum() == 3 and not found.loc[("chest", "dtd"), "below_floor"]
    assert floor["kind"].value_counts().to_dict() == {"cross": 28, "self": 8}
