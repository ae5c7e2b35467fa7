"""Every published definition against values computed by other programs (see the reference's own json)."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from catscans_lib.similarity.measures import (
    classifiers,
    distribution,
    feature_based,
    label_based,
    logme,
    representations,
)
from catscans_lib.similarity.measures import optimal_transport as transport
from catscans_lib.similarity.task2vec import embedding

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="needs ../shared/reference with published values")

COVERED = {
    "logme_exact": lambda v: logme.logme(v["X"], v["y"]),
    "logme_fixed_point_corrected": lambda v: logme.logme_published(v["X"], v["y"], "fixed_point"),
    "logme_icml": lambda v: logme.logme_published(v["X"], v["y"], "icml"),
    "logme_icml_tllib": lambda v: logme.logme_published(v["X"], v["y"], "icml_tllib"),
    "leep": lambda v: label_based.leep(v["P"], v["y"]),
    "nce": lambda v: label_based.nce(v["P"], v["y"]),
    "nce_parc": lambda v: label_based.nce(v["P"], v["y"], epsilon=1e-5),
    "hscore": lambda v: feature_based.h_score(v["X"], v["y"]),
    "hscore_stable": lambda v: feature_based.h_score(v["X"], v["y"]),
    "hscore_parc": lambda v: feature_based.h_score(representations.standardised(v["X"]), v["y"]),
    "hscore_regularized": lambda v: feature_based.regularised_h_score(v["X"], v["y"]),
    "transrate": lambda v: feature_based.trans_rate(v["X"], v["y"], is_weighted=False),
    "transrate_weighted": lambda v: feature_based.trans_rate(v["X"], v["y"]),
    "gbc_diagonal": lambda v: feature_based.gbc(v["X"], v["y"]),
    "gbc_spherical": lambda v: feature_based.gbc(v["X"], v["y"], is_spherical=True),
    "parc_exact_ties": lambda v: representations.parc(v["X"], v["y"]),
    "knn1_loo_accuracy": lambda v: classifiers.knn_accuracy(v["X"], v["y"], 1),
    "knn5_loo_accuracy": lambda v: classifiers.knn_accuracy(v["X"], v["y"]),
    "knn5_loo_accuracy_cosine": lambda v: classifiers.knn_accuracy(v["X"], v["y"], metric="cosine"),
    "cka_linear": lambda v: representations.cka(v["X"], v["X2"]),
    "cka_linear_debiased": lambda v: representations.cka(v["X"], v["X2"], is_debiased=True),
    "rsa": lambda v: representations.rsa(v["X"], v["X2"]),
    "dds": lambda v: representations.dds(v["X"], v["X2"]),
    "fid": lambda v: distribution.frechet_distance(v["X"], v["Z"]),
    "fid_ddof0": lambda v: distribution.frechet_distance(v["X"], v["Z"], ddof=0),
    "kid_unbiased": lambda v: distribution.kid(v["X"], v["Z"]),
    "kid_biased": lambda v: distribution.kid(v["X"], v["Z"], is_unbiased=False),
    "mmd_rbf_unbiased": lambda v: distribution.mmd_rbf(v["X"], v["Z"]),
    "mmd_rbf_biased": lambda v: distribution.mmd_rbf(v["X"], v["Z"], is_unbiased=False),
    "energy_distance": lambda v: distribution.energy_distance(v["X"], v["Z"]),
    "energy_distance_unbiased": lambda v: distribution.energy_distance(v["X"], v["Z"], is_unbiased=True),
    "otdd_exact_squared": lambda v: transport.otdd(v["X"], v["y"], v["Z"], v["z"]),
    "w2_exact_squared": lambda v: transport.wasserstein(v["X"], v["Z"]),
    "otdd_microsoft_debiased": lambda v: transport.otdd(v["X"], v["y"], v["Z"], v["z"]) / 2,  # its cost is half of ours
}
LEFT_OUT = {
    "logme_fixed_point": "with fewer images than features the reference omits part of the determinant (thuml/LogME#23)",
    "parc": "with more than two classes the reference ranks rounding noise of the label correlations",
    "otdd_microsoft_plain": "informational: geomloss is 1 to 15 % below the exact value there",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices are tiny here: two threads spend most of their time waiting for each other."""
    with threadpool_limits(1):
        yield


@cache
def vectors(name):
    arrays = np.load(REFERENCE / "transferability_vectors.npz")
    values = {key: arrays[f"{name}_{key}"] for key in ("X", "y", "P", "X2", "Z", "z")}
    expected = json.loads((REFERENCE / "transferability_vectors.json").read_text())["sets"][name]["expected"]
    return values, {entry["metric"]: entry for entry in expected}


@needs_reference
@pytest.mark.parametrize("name", "ABC")
@pytest.mark.parametrize("entry", COVERED)
def test_a_measure_agrees_with_the_program_it_was_published_with(entry, name):
    values, expected = vectors(name)
    assert COVERED[entry](values) == pytest.approx(expected[entry]["value"], rel=expected[entry]["rtol"])


@needs_reference
@pytest.mark.parametrize("name", "ABC")
def test_every_published_entry_is_covered_or_left_out_for_a_reason(name):
    _, expected = vectors(name)
    assert set(expected) == set(COVERED) | set(LEFT_OUT)


@needs_reference
@pytest.mark.parametrize(("entry", "name"), [("logme_fixed_point", "A"), ("logme_fixed_point", "C"), ("parc", "C")])
def test_where_its_bug_does_not_show_the_reference_agrees_with_the_entry_taken_instead(entry, name):
    values, expected = vectors(name)
    instead = {"logme_fixed_point": "logme_fixed_point_corrected", "parc": "parc_exact_ties"}[entry]
    assert COVERED[instead](values) == pytest.approx(expected[entry]["value"], rel=1e-6)


@needs_reference
@pytest.mark.parametrize("name", "ABC")
def test_distances_between_classes_are_those_of_gaussians(name):
    values, expected = vectors(name)
    sides = [transport.class_moments(values[x].astype(float), values[y]) for x, y in (("X", "y"), ("Z", "z"))]
    given = expected["otdd_exact_squared"]["label_w2_squared"]
    np.testing.assert_allclose(transport.label_distances(*sides), given, rtol=1e-6)


TASK2VEC = {
    "cosine_hessian": embedding.cosine,
    "cosine_symnorm": embedding.symmetric_cosine,
    "cosine_symnorm_eps0": lambda one, other: embedding.symmetric_cosine(one, other, epsilon=0),
    "entropy_symnorm": embedding.entropy,
    "kl_masked": embedding.kl,
    "jsd_masked": embedding.jsd,
    "normalized_cosine_masked": embedding.variance_cosine,
    "correlation_var_masked": embedding.variance_correlation,
    "log_euclid_masked": embedding.log_euclid,
}


@cache
def embeddings():
    published = np.load(REFERENCE / "task2vec_mean_embeddings.npz")
    table = pd.read_csv(REFERENCE / "task2vec_distances.csv")
    of = dict(zip(published["names"], published["embeddings"].astype(float), strict=True))
    return of, table[table["pairing"] == "mean embeddings"]


@needs_reference
@pytest.mark.parametrize("measure", TASK2VEC)
def test_task2vec_distances_of_the_published_embeddings_are_reproduced_for_all_56_pairs(measure):
    of, table = embeddings()
    assert set(table["measure"]) == set(TASK2VEC)
    table = table[table["measure"] == measure]
    assert len(table) == 56
    got = [
        TASK2VEC[measure](of[target], of[source])
        for source, target in zip(table["source"], table["target"], strict=True)
    ]
    np.testing.assert_allclose(got, table["mean"], rtol=2e-6)  # the embeddings are kept as float32
