import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference
from reference import needs_reference
from scipy import stats

from catscans_lib.statistics.delong import delong, interval, paired

SCORES = ("score_1", "score_2", "score_3_with_ties")


def vectors():
    data = reference.vectors()
    binary = data["binary"]
    return data, np.array(binary["y"]) == 1, np.array([binary[name] for name in SCORES])


def seeded(n, n_models=1, seed=0, shift=1.0):
    """Labels, and scores with ties of models that share a part of their noise."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    scores = shift * labels + rng.normal(size=n) + rng.normal(size=(n_models, n))
    return labels, scores.round(1)


def by_definition(labels, scores):
    """AUCs and covariance from the kernel of all pairs of a positive and a negative, as DeLong et al. define them."""
    positive, negative = scores[:, labels, None], scores[:, None, ~labels]
    kernel = (positive > negative) + 0.5 * (positive == negative)
    v10, v01 = kernel.mean(axis=2), kernel.mean(axis=1)
    return kernel.mean(axis=(1, 2)), np.cov(v10) / labels.sum() + np.cov(v01) / (~labels).sum()


@needs_reference
def test_covariance_of_three_models_agrees_with_the_reference():
    data, labels, scores = vectors()
    aucs, covariance = delong(labels, scores)
    np.testing.assert_allclose(aucs, [data["binary"]["auc"][name] for name in SCORES], rtol=0, atol=1e-14)
    np.testing.assert_allclose(covariance, data["delong"]["covariance"], rtol=0, atol=1e-15)


@needs_reference
@pytest.mark.parametrize("name", SCORES)
def test_intervals_agree_with_the_reference(name):
    data, labels, scores = vectors()
    aucs, covariance = delong(labels, scores[SCORES.index(name)])
    got = interval(aucs[0], covariance[0, 0])
    assert got == pytest.approx(data["delong"]["ci95"][name]["logit"], abs=1e-12)


@needs_reference
@pytest.mark.parametrize("other", [2, 3])
def test_paired_tests_agree_with_the_reference(other):
    data, labels, scores = vectors()
    want = data["delong"][f"comparison_1_vs_{other}"]
    found = paired(labels, scores[0], scores[other - 1])
    assert found.difference == pytest.approx(want["auc_difference"], abs=1e-14)
    assert found.variance == pytest.approx(want["variance_of_difference"], abs=1e-15)
    assert found.z == pytest.approx(want["z"], abs=1e-10)
    assert found.p == pytest.approx(want["p_two_sided"], abs=1e-12)
    if "ci95_of_difference" in want:
        assert (found.low, found.high) == pytest.approx(want["ci95_of_difference"], abs=1e-12)


@needs_reference
def test_perfect_separation_has_variance_zero_and_no_interval():
    data = vectors()[0]["delong_perfect_separation"]
    aucs, covariance = delong(np.array(data["y"]) == 1, data["score"])
    assert (aucs[0], covariance[0, 0]) == (data["auc"], data["variance"])
    assert np.isnan(interval(aucs[0], covariance[0, 0])).all()


@pytest.mark.parametrize("seed", range(5))
def test_mid_ranks_agree_with_the_definition_over_all_pairs(seed):
    labels, scores = seeded(60, n_models=3, seed=seed)
    for got, want in zip(delong(labels, scores), by_definition(labels, scores), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


def test_95_percent_intervals_cover_the_true_auc_in_95_percent_of_samples():
    truth = stats.norm.cdf(1 / 2)  # one standard deviation apart, noise of variance 2, rounded to 0.1
    hits = []
    for seed in range(600):
        aucs, covariance = delong(*seeded(150, seed=seed))
        low, high = interval(aucs[0], covariance[0, 0])
        hits.append(low <= truth <= high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.03)


def test_the_paired_test_rejects_equally_good_models_in_5_percent_of_samples():
    p = [paired(labels, *scores).p for labels, scores in (seeded(150, n_models=2, seed=s) for s in range(600))]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)


def grouped(rng, n_patients=60, per_patient=4, n_models=1, shift=1.0):
    """Images of patients, most of one class; images of a patient share half of their noise, models share half of theirs."""
    patients = np.repeat(np.arange(n_patients), per_patient)
    labels = rng.random(len(patients)) < rng.beta(0.3, 0.3, n_patients)[patients]
    noise = [rng.normal(size=(k, n_patients))[:, patients] + rng.normal(size=(k, len(patients))) for k in (1, n_models)]
    return labels, shift * labels + noise[0] + noise[1], patients


def obuchowski(labels, scores, groups):
    """Variance of a difference of AUCs as Obuchowski (1997) defines it, group by group, from the kernel of all pairs."""
    positive, negative = scores[:, labels, None], scores[:, None, ~labels]
    kernel = (positive > negative) + 0.5 * (positive == negative)
    kernel = kernel[0] - kernel[1] if len(kernel) == 2 else kernel[0]
    (m, n), auc = kernel.shape, kernel.mean()
    rows, columns = groups[labels], groups[~labels]
    names = np.unique(groups)
    v10 = np.array([(kernel.mean(axis=1)[rows == name] - auc).sum() for name in names])
    v01 = np.array([(kernel.mean(axis=0)[columns == name] - auc).sum() for name in names])
    i10, i01, i = len(set(rows)), len(set(columns)), len(names)
    s10, s01 = i10 / ((i10 - 1) * m) * (v10**2).sum(), i01 / ((i01 - 1) * n) * (v01**2).sum()
    return s10 / m + s01 / n + 2 * i / (i - 1) * (v10 * v01).sum() / (m * n)


@pytest.mark.parametrize("seed", range(5))
def test_the_variance_of_grouped_images_agrees_with_obuchowski_s_definition(seed):
    labels, scores, groups = grouped(np.random.default_rng(seed), n_patients=12, n_models=2)
    covariance = delong(labels, scores.round(1), groups)[1]
    for model in (0, 1):
        want = obuchowski(labels, scores[[model]].round(1), groups)
        assert covariance[model, model] == pytest.approx(want, rel=1e-12)
    want = obuchowski(labels, scores.round(1), groups)
    assert paired(labels, *scores.round(1), groups).variance == pytest.approx(want, rel=1e-12)
    assert np.array([1, -1]) @ covariance @ [1, -1] == pytest.approx(want, rel=1e-9)


def test_a_hand_calculation_of_three_patients_gives_the_grouped_variance():
    # v10: 1 for .9, 1/2 for .4; v01: 1/2 for .6, 1 for .1; AUC .75. Sums of deviations: patients a .25 and -.25, b -.25, c .25.
    labels, scores = np.array([True, False, True, False]), [0.9, 0.6, 0.4, 0.1]
    own = 2 * (0.25**2 + 0.25**2) / 4  # two groups with a positive, two with a negative
    assert delong(labels, scores, ["a", "a", "b", "c"])[1].item() == pytest.approx(
        2 * own + 2 * 1.5 * (0.25 * -0.25) / 4
    )
    assert delong(labels, scores)[1].item() == pytest.approx(2 * own)  # every image independent
    assert np.isnan(delong(labels, scores, ["a", "a", "a", "b"])[1]).all()  # one patient has all positives


def test_intervals_of_correlated_images_cover_the_true_auc_in_95_percent_of_samples():
    truth, found = stats.norm.cdf(1 / np.sqrt(8)), []  # one apart, variance 4 of each score
    for seed in range(1000):
        labels, scores, groups = grouped(np.random.default_rng(seed))
        for names in (groups, None):
            aucs, covariance = delong(labels, scores, names)
            low, high = interval(aucs[0], covariance[0, 0])
            found.append(low <= truth <= high)
    clustered, independent = np.reshape(found, (-1, 2)).mean(axis=0)
    assert 0.93 <= clustered <= 0.97
    assert independent < 0.90  # what the plain form gives


def test_paired_intervals_of_correlated_images_cover_the_true_difference_of_0():
    found = []
    for seed in range(1000):
        labels, scores, groups = grouped(np.random.default_rng(seed), n_models=2)
        found.append(paired(labels, *scores, groups).p >= 0.05)
    assert 0.93 <= np.mean(found) <= 0.97


def test_the_paired_variance_follows_from_the_covariance_matrix():
    labels, scores = seeded(100, n_models=2)
    covariance = delong(labels, scores)[1]
    assert paired(labels, *scores).variance == pytest.approx(np.array([1, -1]) @ covariance @ [1, -1], abs=1e-15)


@pytest.mark.parametrize("change", [lambda s: s, lambda s: 3 * s - 1, np.exp])
def test_models_with_the_same_ranking_do_not_differ(change):
    labels, (scores,) = seeded(50)
    found = paired(labels, scores, change(scores))
    assert (found.difference, found.variance, found.z, found.p) == (0, 0, 0, 1)
    assert np.isnan([found.low, found.high]).all()


def test_a_perfect_model_against_its_reverse_has_no_p_value():
    labels = np.array([False, False, True, True])
    found = paired(labels, [1, 2, 3, 4], [4, 3, 2, 1])
    assert (found.difference, found.variance) == (1, 0)
    assert np.isnan([found.z, found.p, found.low, found.high]).all()


def test_constant_scores_have_an_auc_of_one_half_and_no_interval():
    aucs, covariance = delong([True, False, True, False], [0.3, 0.3, 0.3, 0.3])
    assert (aucs.tolist(), covariance.tolist()) == ([0.5], [[0.0]])
    assert np.isnan(interval(0.5, 0.0)).all()


@pytest.mark.filterwarnings("error")
def test_a_single_positive_has_an_auc_but_no_variance_and_no_warning():
    aucs, covariance = delong([True, False, False], [0.5, 0.3, 0.7])
    assert aucs.tolist() == [0.5]
    assert np.isnan(covariance).all()
    assert np.isnan(interval(aucs[0], covariance[0, 0])).all()


def test_the_example_of_the_chapter_of_methods_prints_an_interval_and_a_test_of_a_table_of_predictions(
    tmp_path, monkeypatch, capsys
):
    chapter = (Path(__file__).parents[2] / "book/methods.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", chapter, flags=re.M | re.S)
    labels, (score, other), patients = grouped(np.random.default_rng(0), n_models=2)
    table = pd.DataFrame({"patient": patients, "y": labels.astype(int), "score": score, "other": other})
    table.to_csv(tmp_path / "mine.csv", index=False)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    aucs, variances = delong(labels, score, patients)
    want = f"{aucs[0]} {interval(aucs[0], variances[0, 0])}\n{paired(labels, score, other, patients)}\n"
    assert capsys.readouterr().out == want
