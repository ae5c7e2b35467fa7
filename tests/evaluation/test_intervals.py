import numpy as np
import pandas as pd
import pytest

from catscans_lib.evaluation import inference, intervals, tables


def study(rng, *, seed_sd, seeds=3, n_folds=4, n_patients=24):
    """Predictions of one source; patients share noise, and a seed shifts the separation of the classes in all folds."""
    shift = 1 + seed_sd * rng.normal(size=seeds)
    parts = []
    for fold in range(1, n_folds + 1):
        patient = np.repeat(np.arange(n_patients), 3)
        label = np.arange(n_patients)[patient] % 2
        common = rng.normal(size=n_patients)[patient] + rng.normal(size=len(patient))
        for seed in range(seeds):
            score = 1 / (1 + np.exp(-(shift[seed] * label + 0.9 * common + 0.3 * rng.normal(size=len(patient)))))
            ids = [f"{fold}-{number}" for number in range(len(patient))]
            facts = {"image_id": ids, "group": [f"{fold}-{number}" for number in patient], "fold": fold, "seed": seed}
            scores = {"label": np.where(label == 1, "yes", "no"), "score_no": 1 - score, "score_yes": score}
            parts.append(pd.DataFrame({"source": "dtd", "target": "chest", "mode": "fine_tune"} | facts | scores))
    return pd.concat(parts, ignore_index=True)


def evaluated(predictions, n_draws=200):
    aucs = tables.aucs(predictions, {("dtd", "chest"): "run"})
    draws = intervals.draws(predictions, n_draws=n_draws, seed=0, average="weighted")
    return intervals.auc_intervals(aucs, draws, predictions).set_index("method"), draws


@pytest.mark.parametrize(("n_seeds", "least"), [(3, 0.83), (5, 0.88), (10, 0.91)])
def test_intervals_cover_the_auc_of_other_images_and_other_seeds(n_seeds, least):
    """Nominal 95 %. A spread from few seeds is rough, but without seeds hardly half of the intervals cover."""
    rng, covered, without = np.random.default_rng(0), [], []
    seeds = np.tile(np.arange(n_seeds), 3)  # three folds
    for _ in range(600):
        of_seeds = rng.normal(0, 0.02, n_seeds)[seeds] + rng.normal(0, 0.003)  # around a true value of 0
        draws = of_seeds[:, None] + rng.normal(0, 0.003, 400)  # the same images for all seeds
        for found, drawn in ((covered, intervals.mean_over_runs(draws, seeds)), (without, draws.mean(axis=0))):
            low, high = np.quantile(drawn, [0.025, 0.975])
            found.append(low <= 0 <= high)
    assert least <= np.mean(covered) <= 0.97
    assert np.mean(without) < 0.75


def test_one_seed_gives_an_interval_of_this_network_and_says_so():
    table, draws = evaluated(study(np.random.default_rng(0), seed_sd=0.5, seeds=1))
    assert list(table.index) == ["bootstrap over groups"]
    mean = draws.groupby("source").mean().to_numpy()
    expected = tuple(np.quantile(mean, [0.025, 0.975]))
    assert tuple(table.loc["bootstrap over groups", ["low", "high"]]) == pytest.approx(expected)


def test_resampled_seeds_have_the_variance_of_a_mean_of_seeds():
    of_seeds = np.array([0.7, 0.8, 0.9])
    drawn = intervals.mean_over_runs(np.repeat(of_seeds[:, None], 200_000, axis=1), np.array([0, 1, 2]))
    assert drawn.mean() == pytest.approx(0.8, abs=1e-3)
    assert drawn.var() == pytest.approx(of_seeds.var(ddof=1) / 3, rel=0.02)


def test_sources_get_the_same_seeds_so_equal_ones_never_differ():
    predictions = study(np.random.default_rng(0), seed_sd=0.5)
    predictions = pd.concat([predictions, predictions.assign(source="stl10")], ignore_index=True)
    aucs = tables.aucs(predictions, {(source, "chest"): "run" for source in ("dtd", "stl10")})
    draws = intervals.draws(predictions, n_draws=100, seed=0, average="weighted")
    found = inference.comparisons(aucs, draws)
    assert (found["difference"] == 0).all() and (found["p"] == 1).all()


@pytest.mark.parametrize(("n_patients", "is_few"), [(9, True), (10, False)])
def test_few_groups_are_marked(n_patients, is_few):
    table, _ = evaluated(study(np.random.default_rng(0), seed_sd=0.1, n_patients=n_patients))
    assert table["n_groups"].unique().tolist() == [4 * n_patients]
    assert (table["few_groups"] == is_few).all()


def test_a_fold_with_a_single_group_has_no_interval_but_an_auc():
    predictions = study(np.random.default_rng(0), seed_sd=0.1)
    predictions.loc[predictions["fold"] == 1, "group"] = "one"
    table, draws = evaluated(predictions)
    assert draws.xs(1, level="fold").isna().all(axis=None)
    assert table["auc"].notna().all() and table[["low", "high"]].isna().all(axis=None)
