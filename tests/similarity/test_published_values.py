"""Measures against values computed by the programs of their authors (see the reference's own json)."""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from reference import REFERENCE, needs_reference
from scipy.spatial.distance import pdist

from catscans_lib.inspection import layer_similarity
from catscans_lib.similarity import task2vec
from catscans_lib.similarity.measures import distribution, feature_based, label_based


def _gram(features):
    centred = features - features.mean(axis=0)
    return centred @ centred.T


def _median_of_both(x, z):
    return np.median(pdist(np.concatenate([x, z]), "sqeuclidean"))  # of both sets, as in the program


COVERED = {
    "logme_exact": lambda v: feature_based.logme(v["X"], v["y"]),
    "leep": lambda v: label_based.leep(v["P"], v["y"]),
    "hscore_regularized": lambda v: feature_based.regularised_h_score(v["X"], v["y"]),
    "transrate_weighted": lambda v: feature_based.trans_rate(v["X"], v["y"]),
    "gbc_diagonal": lambda v: feature_based.gbc(v["X"], v["y"]),
    "parc_exact_ties": lambda v: feature_based.parc(v["X"], v["y"]),
    "cka_linear_debiased": lambda v: layer_similarity.linear_cka(*(_gram(v[key].astype(float)) for key in ("X", "X2"))),
    "mmd_rbf_unbiased": lambda v: distribution.mmd_rbf(v["X"], v["Z"], bandwidth=_median_of_both(v["X"], v["Z"])),
}


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
def test_with_two_classes_parc_is_that_of_the_published_program_with_more_it_orders_rounding_errors():
    values, expected = vectors("C")
    assert COVERED["parc_exact_ties"](values) == pytest.approx(expected["parc"]["value"], rel=1e-6)


TASK2VEC = {"cosine_hessian": task2vec.cosine, "cosine_symnorm": task2vec.symmetric_cosine}


@needs_reference
@pytest.mark.parametrize("measure", TASK2VEC)
def test_task2vec_distances_of_the_published_embeddings_are_reproduced_for_all_56_pairs(measure):
    published = np.load(REFERENCE / "task2vec_mean_embeddings.npz")
    of = dict(zip(published["names"], published["embeddings"].astype(float), strict=True))
    table = pd.read_csv(REFERENCE / "task2vec_distances.csv")
    table = table[(table["pairing"] == "mean embeddings") & (table["measure"] == measure)]
    assert len(table) == 56
    got = [TASK2VEC[measure](of[row.target], of[row.source]) for row in table.itertuples()]
    np.testing.assert_allclose(got, table["mean"], rtol=2e-6)  # the embeddings are kept as float32
