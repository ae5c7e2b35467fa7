"""The head that is fitted for a Task2Vec embedding, and the Monte Carlo estimate against its closed form."""

import keras
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from catscans_lib.errors import InputError
from catscans_lib.similarity import registry, task2vec
from catscans_lib.similarity.measure import Inputs
from catscans_lib.similarity.squared_gradients import squared_gradients


def points(n_classes, n=120, n_features=6):
    rng = np.random.default_rng(n_classes)
    labels = np.arange(n) % n_classes
    x = 5 + rng.standard_normal((n, n_features)) + rng.standard_normal((n_classes, n_features))[labels]
    x[:, 2] = 3  # never changes
    return x.astype("float32"), labels


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_head_predicts_what_scikit_learn_predicts_on_standardised_features(n_classes):
    x, labels = points(n_classes)
    weights = np.where(labels == 0, 2.0, 1.0)
    kernel, bias = task2vec.fit_head(x, labels, weights)
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=task2vec.C, tol=1e-8))
    expected = regression.fit(x.astype("float64"), labels, logisticregression__sample_weight=weights).predict_proba(x)
    np.testing.assert_allclose(softmax(x.astype("float64") @ kernel + bias, axis=1), expected, atol=1e-5)
    assert (kernel[2] == 0).all()


@pytest.fixture(scope="module")
def softmax_regression():
    """Linear softmax regression on 4 pixels: a dense layer whose head passes its outputs on."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    image = keras.Input((2, 2, 3))
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    network = keras.Model(image, keras.layers.Dense(3, name="last")(flat))
    network.layers[-1].set_weights([2 * rng.standard_normal((12, 3)), rng.standard_normal(3)])
    images, squares = rng.integers(0, 256, (50, 2, 2, 3), dtype=np.uint8), squared_gradients(network)
    outputs, head = network.predict(images, verbose=0), (np.eye(3), np.zeros(3))

    def monte_carlo(rng, weights):
        return task2vec.fisher_information(squares, head, images, np.arange(50), outputs, rng, weights)

    return network.layers[-1].get_weights(), images.reshape(50, 12) / 255, monte_carlo


def test_monte_carlo_on_softmax_regression_converges_to_the_closed_form(softmax_regression):
    (kernel, bias), x, monte_carlo = softmax_regression
    weights, rng = np.linspace(0, 1, 50), np.random.default_rng(0)
    p = softmax(x @ kernel + bias, axis=1)
    expected = ((weights / weights.sum() * (x**2).T) @ (p * (1 - p))).mean(axis=0)
    found = np.mean([monte_carlo(rng, weights) for _ in range(400)], axis=0)
    assert abs(found / expected - 1).max() < 0.03


def test_a_seed_repeats_the_bits_and_another_seed_draws_other_labels(softmax_regression):
    *_, monte_carlo = softmax_regression
    one, again, other = (monte_carlo(np.random.default_rng(seed), np.ones(50)) for seed in (0, 0, 1))
    assert one.tobytes() == again.tobytes()
    assert (one >= 0).all() and not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("fisher", "message"),
    [
        ([1.0, np.nan, 0.0], "is nan, which is no value"),
        (np.zeros(3), "is nan, which is no value"),
    ],
)
def test_an_invalid_embedding_is_refused(fisher, message):
    with pytest.raises(InputError, match=message), np.errstate(invalid="ignore", divide="ignore"):
        registry.get("task2vec_cosine").compute(Inputs(fisher=fisher, source_fisher=np.ones(3)))
