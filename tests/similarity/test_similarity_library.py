import numpy as np
import pytest

from catscans_lib.errors import InputError
from catscans_lib.similarity.library import Library, sketches
from catscans_lib.similarity.task2vec import embedding


def embeddings(n=120, n_filters=300, seed=0):
    """Sources in 12 families, each a noisy copy of its family's embedding."""
    rng = np.random.default_rng(seed)
    families = rng.normal(0, 1.5, (12, n_filters))
    return np.exp(families[np.arange(n) % 12] + rng.normal(0, 0.7, (n, n_filters)))


@pytest.fixture
def library(tmp_path):
    Library.write(tmp_path, [f"s{number}" for number in range(120)], embeddings())
    return Library(tmp_path)


def exact(new, n):
    order = np.argsort([embedding.symmetric_cosine(new, one) for one in embeddings()], kind="stable")
    return [f"s{number}" for number in order[:n]]


def test_with_all_candidates_the_ranking_is_that_of_the_measure(library):
    new = embeddings(seed=1)[5]
    found = library.nearest(new, n=20, n_candidates=120)
    assert found["source"].tolist() == exact(new, 20)
    assert found["value"].is_monotonic_increasing


def test_few_candidates_hold_nearly_all_of_the_nearest(library):
    new = embeddings()[7] * 1.3
    found = library.nearest(new, n=5, n_candidates=20)
    assert len(set(found["source"]) & set(exact(new, 5))) >= 4
    assert found["source"].iloc[0] == "s7"


def test_a_sketch_keeps_distances_and_knows_no_scale():
    many = embeddings()
    np.testing.assert_allclose(sketches(many), sketches(1000 * many))
    logs = np.log(many) - np.log(many).mean(axis=1, keepdims=True)
    far, near = (np.linalg.norm(of[:40] - of[40:80], axis=1) for of in (logs, sketches(many)))
    assert np.median(np.abs(near / far - 1)) < 0.15


def test_other_measures_of_embeddings_may_be_asked_for_and_no_others(library):
    new = embeddings()[3]
    assert library.nearest(new, n=1, measure="task2vec_log_euclid")["source"].item() == "s3"
    with pytest.raises(InputError, match="'logme' does not compare embeddings; it needs features, labels"):
        library.nearest(new, measure="logme")


def test_what_is_no_library_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no library: no embeddings.npy"):
        Library(tmp_path)
    with pytest.raises(InputError, match=r"got 2 names \(1 different\)"):
        Library.write(tmp_path, ["a", "a"], embeddings(2))
