"""Measures on small examples: by hand, by their definition, or by another library."""

import numpy as np
import pytest
from scipy import linalg, optimize, stats
from scipy.spatial.distance import cdist, pdist
from scipy.special import softmax
from sklearn.covariance import LedoitWolf
from sklearn.mixture import GaussianMixture

from catscans_lib.errors import InputError
from catscans_lib.similarity import registry, task2vec
from catscans_lib.similarity.measure import Inputs
from catscans_lib.similarity.measures import distribution, feature_based, label_based, linear_probe

TWO = np.array([0, 0, 1, 1])


def blobs(n, d, n_classes=3, separation=2.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    return rng.normal(size=(n, d)) + separation * rng.normal(size=(n_classes, d))[labels], labels


def test_of_several_findings_each_has_a_probe_and_other_measures_of_labels_refuse_them():
    x, y = blobs(60, 4)
    has = np.stack([y == 0, y != 2, np.arange(60) == 3], axis=1)  # the third is in one group only
    groups = np.arange(60) // 2
    found = linear_probe.linear_probe_auc(x, has, groups)
    each = [linear_probe.linear_probe_auc(x, has[:, number].astype(int), groups) for number in (0, 1)]
    assert found == pytest.approx(np.mean(each)) and found > 0.8
    inputs = Inputs(features=x, labels=has, groups=groups, source_features=x + 1, source_head=softmax(x, axis=1))
    assert registry.get("mmd_rbf").compute(inputs) > 0 and registry.get("linear_probe_auc").compute(inputs) == found
    labelled = [
        name for name, one in registry.MEASURES.items() if "labels" in one.arguments and name != "linear_probe_auc"
    ]
    assert {"logme", "leep", "sfda"} <= set(labelled)
    for name in labelled:
        with pytest.raises(InputError, match=rf"\({name}\) compares classes that exclude each other"):
            registry.get(name).compute(inputs)
    with pytest.raises(InputError, match="Task2Vec.s head tells classes that exclude each other"):
        task2vec.embed(None, None, np.arange(60), x, has, None)
    with pytest.raises(InputError, match="No finding is in at least 2 groups"):
        linear_probe.linear_probe_auc(x, has[:, 2:], groups)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (12, 20)])
def test_logme_is_the_largest_density_of_the_labels_under_the_bayesian_linear_model(n, d):
    x, y = blobs(n, d, separation=0.5)

    def minus_log_density(logs, target):
        alpha, beta = np.exp(np.clip(logs, -30, 30))
        return -stats.multivariate_normal(cov=x @ x.T / alpha + np.eye(n) / beta).logpdf(target) / n

    best = [
        min(optimize.minimize(minus_log_density, start, args=((y == number) * 1.0,), method="Nelder-Mead",
                              options={"xatol": 1e-9, "fatol": 1e-12}).fun for start in ([0, 0], [6, 2], [0, 4]))
        for number in range(3)
    ]  # fmt: skip
    assert feature_based.logme(x, y) == pytest.approx(-np.mean(best), abs=1e-6)


@pytest.mark.parametrize(("n", "d"), [(40, 6), (20, 50)])
def test_the_regularised_h_score_is_the_trace_of_its_definition(n, d):
    x, y = blobs(n, d)
    fitted = LedoitWolf().fit(x)
    means = np.array([x[y == number].mean(axis=0) for number in range(3)])
    trace = np.trace(np.linalg.inv(fitted.covariance_) @ np.cov(means[y], rowvar=False))
    assert feature_based.regularised_h_score(x, y) == pytest.approx((1 - fitted.shrinkage_) * trace)


def test_the_regularised_h_score_distinguishes_features_also_with_fewer_images_than_features():
    near, y = blobs(30, 100, separation=0.0)
    far, _ = blobs(30, 100, separation=2.0)
    assert feature_based.regularised_h_score(near, y) < 0.8 * feature_based.regularised_h_score(far, y)


def test_trans_rate_on_a_line_by_hand():
    x = np.array([[-3.0], [-1.0], [1.0], [3.0]])
    whole, each = (np.log(1 + mean_square / 1e-4) / 2 for mean_square in (5, 5))
    assert feature_based.trans_rate(x, TWO) == pytest.approx(whole - each)
    x = np.array([[-3.0], [3.0], [-1.0], [1.0]])
    saved = np.log(1 + 5e4) - (np.log(1 + 9e4) + np.log(1 + 1e4)) / 2
    assert feature_based.trans_rate(x, TWO) == pytest.approx(saved / 2)


def test_gbc_of_two_classes_on_a_line_by_hand():
    x = np.array([[-1.0], [1.0], [2.0], [6.0]])  # means 0 and 4, variances 1 and 4
    distance = 16 / 2.5 / 8 + np.log(2.5 / np.sqrt(1 * 4)) / 2
    assert feature_based.gbc(x, TWO) == pytest.approx(-2 * np.exp(-distance))


def test_sfda_is_two_shrinkage_discriminants_with_images_mixed_in_between():
    x, y = blobs(60, 4, separation=1.0)
    x *= 0.3
    within = sum(np.cov(x[y == number].T, bias=True) for number in range(3)) / 3
    shrinkage = np.exp(-5 * np.linalg.eigvalsh(within)[-1])

    def probabilities(x):
        means = np.array([x[y == number].mean(axis=0) for number in range(3)])
        covariance = sum(np.cov(x[y == number].T, bias=True) for number in range(3)) / 3
        shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 4 * np.eye(4)
        weights = np.linalg.solve(shrunk, means.T)
        return softmax(x @ weights - (means.T * weights).sum(axis=0) / 2 + np.log(1 / 3), axis=1), means

    first, means = probabilities(x)
    sure = softmax(first, axis=1)[np.arange(60), y][:, None]
    others = np.array([(means[1] + means[2]) / 2, (means[0] + means[2]) / 2, (means[0] + means[1]) / 2])
    second, _ = probabilities(sure * x + (1 - sure) * others[y])
    assert feature_based.sfda(x, y) == pytest.approx(second[np.arange(60), y].mean())


def test_sfda_does_not_use_the_solver_that_may_not_converge(monkeypatch):
    x, y = blobs(60, 40)
    expected, solve = feature_based.sfda(x, y), linalg.lstsq

    def gelsd_fails(*given, lapack_driver="gelsd", **options):
        if lapack_driver == "gelsd":
            raise linalg.LinAlgError("SVD did not converge in Linear Least Squares")
        return solve(*given, lapack_driver=lapack_driver, **options)

    monkeypatch.setattr(linalg, "lstsq", gelsd_fails)
    assert feature_based.sfda(x, y) == expected


def test_sfda_has_a_value_on_a_set_where_gelsd_did_not_converge():
    rng = np.random.default_rng(58)  # with OpenBLAS 0.3.30 on SkylakeX
    assert 0.9 < feature_based.sfda(rng.random((300, 1280)), np.random.default_rng(58).integers(0, 2, 300)) <= 1


def test_distances_of_pairs_that_differ_by_rounding_are_ties_in_parc():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (40, 4)).astype(float), np.arange(40) % 2
    expected = feature_based.parc(x, y)
    for factor in rng.uniform(0.1, 10, 20):
        assert feature_based.parc(factor * x + 1 / factor, y) == pytest.approx(expected, abs=1e-9)


def test_leep_by_hand():
    head = [[0.8, 0.2, 0.0], [0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.5, 0.5, 0.0]]  # nothing is of the third class
    right = [0.8 * 0.7 + 0.2 * 0.3, 0.6 * 0.7 + 0.4 * 0.3, 0.1 * 0.3 + 0.9 * 0.7, 0.5]
    assert label_based.leep(head, TWO) == pytest.approx(np.log(right).mean())


def test_uninformative_head_outputs_give_minus_the_entropy_of_the_labels():
    assert label_based.leep(np.full((4, 5), 0.2), TWO) == pytest.approx(-np.log(2))


def test_head_outputs_that_are_not_probabilities_are_refused():
    for head in ([[0.5, 0.6]] * 4, [[1.5, -0.5]] * 4):
        with pytest.raises(InputError, match="source_head must hold probabilities"):
            label_based.leep(head, TWO)


def test_n_leep_is_leep_on_a_mixture_of_five_components_per_class_on_four_fifths_of_the_variance():
    x, y = blobs(120, 6, n_classes=2, separation=0.7)
    centred = x - x.mean(axis=0)
    _, s, axes = np.linalg.svd(centred, full_matrices=False)
    n_kept = np.searchsorted(np.cumsum(s**2) / (s**2).sum(), 0.8) + 1
    reduced = centred @ axes[:n_kept].T
    head = GaussianMixture(10, random_state=4).fit(reduced).predict_proba(reduced)
    given = np.array([head[y == number].sum(axis=0) for number in range(2)]) / head.sum(axis=0)
    expected = np.log((given[y] * head).sum(axis=1)).mean()
    assert label_based.n_leep(x, y, seed=4) == pytest.approx(expected, rel=1e-6)


def test_a_linear_probe_with_groups_does_not_profit_from_recognising_patients():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 5)
    x, labels = rng.normal(size=(40, 60))[patients] + 0.01 * rng.normal(size=(200, 60)), patients % 2
    assert linear_probe.linear_probe_auc(x, labels) > 0.95
    assert linear_probe.linear_probe_auc(x, labels, groups=patients) == pytest.approx(0.5, abs=0.15)


def test_groups_that_are_not_one_per_image_or_leave_a_class_one_patient_are_refused():
    x, labels = blobs(20, 3, n_classes=2)
    with pytest.raises(InputError, match="Class '1' has 1 group, fewer than 2 folds"):
        linear_probe.linear_probe_auc(x, labels, groups=np.where(labels == 1, 99, np.arange(20)))
    with pytest.raises(InputError, match=r"groups must have shape \(20,\), one per image; got \(19,\)"):
        linear_probe.linear_probe_auc(x, labels, groups=np.arange(19))


def test_the_squared_discrepancy_is_unbiased_and_summed_block_by_block(monkeypatch):
    x, z = blobs(23, 3)[0], blobs(17, 3, seed=1)[0]
    h = np.median(pdist(x, "sqeuclidean"))  # of the target alone
    pairs = [np.exp(-pdist(side, "sqeuclidean") / h).mean() for side in (x, z)]
    expected = sum(pairs) - 2 * np.exp(-cdist(x, z, "sqeuclidean") / h).mean()
    assert distribution.mmd_rbf(x, z) == pytest.approx(expected)
    monkeypatch.setattr(distribution, "BLOCK", 5)
    assert distribution.mmd_rbf(x, z) == pytest.approx(expected)


def test_the_kernel_of_the_squared_discrepancy_does_not_depend_on_the_source():
    x, far = blobs(20, 3)[0], np.full((2, 3), 1e3) + np.arange(2)[:, None]
    h = np.median(pdist(x, "sqeuclidean"))
    of_the_pair = np.exp(-((far[0] - far[1]) ** 2).sum() / h)  # the target's images are too far to see it
    assert distribution.mmd_rbf(x, far) == pytest.approx(np.exp(-pdist(x, "sqeuclidean") / h).mean() + of_the_pair)
