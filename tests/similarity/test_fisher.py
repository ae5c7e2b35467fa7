"""The Fisher information of a head and of filters: closed form, Monte Carlo, and where they must agree."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from catscans_lib.errors import InputError
from catscans_lib.similarity.task2vec import fisher
from catscans_lib.similarity.task2vec.squared_gradients import squared_gradients


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
    head = fisher.fit_head(x, labels, weights=weights, c=0.3)
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, tol=1e-8))
    expected = regression.fit(x.astype("float64"), labels, logisticregression__sample_weight=weights).predict_proba(x)
    np.testing.assert_allclose(head.probabilities(x), expected, atol=1e-5)
    assert (head.kernel[2] == 0).all()


def test_a_head_needs_two_classes():
    with pytest.raises(InputError, match="all images are of one class. Take more images"):
        fisher.fit_head(np.ones((4, 2)), np.zeros(4, int))


def test_the_fisher_information_of_a_head_is_the_hand_calculated_one():
    head = fisher.Head(np.array([[0.0, np.log(3)], [0.0, 0.0]]), np.zeros(2))
    x = np.array([[1.0, 2.0], [0.0, 4.0]])  # p = 1/4, 3/4 and 1/2, 1/2
    np.testing.assert_allclose(fisher.of_head(head, x), [[3 / 32, 3 / 32], [(4 * 3 / 16 + 16 / 4) / 2] * 2])
    np.testing.assert_allclose(fisher.of_head(head, x, np.array([3.0, 0.0]))[:, 0], [3 / 16, 3 / 4])


def test_the_fisher_information_of_a_head_is_the_curvature_of_its_loss():
    x, labels = points(3)
    head = fisher.fit_head(x, labels)
    p = head.probabilities(x)

    def divergence(step):  # mean KL from the head to one with a kernel a little off; second derivative = Fisher
        moved = head.kernel.copy()
        moved[4, 1] += step
        return (p * np.log(p / fisher.Head(moved, head.bias).probabilities(x))).sum(axis=1).mean()

    step = 1e-3
    curvature = (divergence(step) + divergence(-step)) / step**2
    assert fisher.of_head(head, x)[4, 1] == pytest.approx(curvature, rel=1e-4)


@pytest.fixture(scope="module")
def softmax_regression():
    """A network that is one dense layer with a head that passes its outputs on: linear softmax regression on 4 pixels."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    image = keras.Input((2, 2, 3))
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    network = keras.Model(image, keras.layers.Dense(3, name="last")(flat))
    network.layers[-1].set_weights([2 * rng.standard_normal((12, 3)), rng.standard_normal(3)])
    return network, rng.integers(0, 256, (50, 2, 2, 3), dtype=np.uint8)


def monte_carlo(softmax_regression, seed, n_draws, weights=None):
    network, images = softmax_regression
    outputs, passed_on = network.predict(images, verbose=0), fisher.Head(np.eye(3), np.zeros(3))
    return fisher.of_filters(
        squared_gradients(network), passed_on, images, np.arange(50), outputs, np.random.default_rng(seed),
        weights=weights, n_draws=n_draws,
    )  # fmt: skip


def test_monte_carlo_on_softmax_regression_converges_to_the_closed_form(softmax_regression):
    network, images = softmax_regression
    kernel, bias = network.layers[-1].get_weights()
    weights = np.linspace(0, 1, 50)
    expected = fisher.of_head(fisher.Head(kernel, bias), images.reshape(50, 12) / 255, weights).mean(axis=0)
    few, many = (abs(monte_carlo(softmax_regression, 0, n, weights) / expected - 1).max() for n in (1, 400))
    assert many < 0.03
    assert many < few


def test_a_seed_repeats_the_bits_and_another_seed_draws_other_labels(softmax_regression):
    one, again, other = (monte_carlo(softmax_regression, seed, 2) for seed in (0, 0, 1))
    assert one.tobytes() == again.tobytes()
    assert (one >= 0).all() and not np.array_equal(one, other)


def test_labels_are_drawn_as_often_as_they_are_probable():
    p = np.tile([0.2, 0.5, 0.0, 0.3], (20_000, 1))
    drawn = fisher._drawn(p, np.random.default_rng(0))
    assert (drawn.sum(axis=1) == 1).all()
    np.testing.assert_allclose(drawn.mean(axis=0), p[0], atol=0.01)
    assert drawn[:, 2].sum() == 0
