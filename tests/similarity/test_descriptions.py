"""Measures that need no features: experts and meta-features on small examples; invalid embeddings."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from reference import REFERENCE, needs_reference

from catscans_lib.errors import InputError
from catscans_lib.similarity import task2vec
from catscans_lib.similarity.measures import descriptions


def form(**answers):
    """Answers to each question, one per rater."""
    rows = [(rater, question, answer) for question, given in answers.items() for rater, answer in enumerate(given)]
    return pd.DataFrame(rows, columns=["rater", "question", "answer"])


def test_the_expert_distance_is_the_total_variation_of_answers_mean_over_questions():
    one = form(medical=["yes", "yes"], colour=["rich", "rich", "one tone", "none"])
    other = form(colour=["rich", "one tone", "one tone", "one tone"], medical=["no", "no", "no"])
    colour = (abs(2 / 4 - 1 / 4) + abs(1 / 4 - 3 / 4) + 1 / 4) / 2
    assert descriptions.expert_distance(one, other) == pytest.approx((1 + colour) / 2)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (form(medical=["yes"], size=["big"]), "only one of them has: size"),
        (form(medical=["yes"]).drop(columns="rater"), "missing: rater"),
        (form(medical=["yes", None]), "row 1 is empty"),
        (form(medical=[]), "every row is empty"),
        (pd.concat([form(medical=["yes"])] * 2), "rater 0 answered 'medical' more than once"),
    ],
)
def test_answers_that_cannot_be_compared_are_refused(answers, message):
    with pytest.raises(InputError, match=message):
        descriptions.expert_distance(answers, form(medical=["yes"]))


@needs_reference
def test_the_published_answers_put_medical_images_nearer_to_each_other_than_to_photographs():
    of = dict(list(pd.read_csv(REFERENCE / "expert_answers.csv").groupby("dataset")))
    distance = {pair: descriptions.expert_distance(of[pair[0]], of[pair[1]]) for pair in permutations(of, 2)}
    assert distance["chest", "stl10"] == pytest.approx(distance["stl10", "chest"])
    assert max(distance["isic2018", "chest"], distance["pcam", "chest"]) < min(
        distance["stl10", "chest"], distance["dtd", "chest"]
    )


def test_size_and_imbalance_by_hand():
    found = descriptions.describe(labels=np.repeat([0, 1], [75, 25]))
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(2)
    assert found.to_dict() == pytest.approx({"log10_n_images": 2, "n_classes": 2, "imbalance": 1 - entropy})
    assert descriptions.describe(labels=np.arange(9) % 3)["imbalance"] == pytest.approx(0)


def test_colours_and_grey_levels_by_hand():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[0, :, :4] = [255, 0, 51]
    images[1] = 128
    half, blank = descriptions.image_statistics(images).to_dict("records")
    assert [half[name] for name in ("mean_red", "mean_green", "mean_blue")] == pytest.approx([0.5, 0, 0.1])
    assert [half[name] for name in ("sd_red", "sd_green", "sd_blue")] == pytest.approx([0.5, 0, 0.1])
    assert half["grey_entropy"] == pytest.approx(1)  # two levels, half of the pixels each
    assert [blank[name] for name in ("mean_red", "sd_red", "grey_entropy", "spectrum_slope")] == pytest.approx(
        [128 / 255, 0, 0, 0], abs=1e-9
    )


@pytest.mark.parametrize("slope", [0.0, -1.0, -2.0, -3.0])
def test_the_slope_of_the_spectrum_is_that_of_the_noise_in_the_images(slope):
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    frequency[0, 0] = np.inf
    waves = np.fft.fft2(rng.normal(size=(20, 64, 64))) * frequency ** (slope / 2)
    grey = np.fft.ifft2(waves).real
    images = (128 + 40 * grey / grey.std()).clip(0, 255).round().astype("uint8")
    found = descriptions.image_statistics(np.repeat(images[..., None], 3, axis=3))["spectrum_slope"]
    assert found.mean() == pytest.approx(slope, abs=0.25)


def test_features_are_described_by_effective_rank_correlation_skewness_and_kurtosis():
    rng = np.random.default_rng(0)
    even = descriptions.describe(features=rng.normal(size=(5000, 10)))
    assert even["effective_rank"] == pytest.approx(10, abs=0.1)
    assert even[["correlation", "skewness", "kurtosis"]].abs().max() < 0.06
    one = rng.exponential(size=(5000, 1))
    same = descriptions.describe(features=np.concatenate([one, -2 * one + 1e-9 * rng.normal(size=(5000, 1))], axis=1))
    assert same["effective_rank"] == pytest.approx(1, abs=1e-6)
    assert same["correlation"] == pytest.approx(1)
    assert same["skewness"] == pytest.approx(0, abs=1e-6)  # one of each sign
    assert same["kurtosis"] == pytest.approx(6, abs=1.5)  # that of an exponential distribution


def test_images_darker_by_one_standard_deviation_are_one_apart_in_the_mean_colours():
    levels = np.array([100, 120], np.uint8)  # mean 110, standard deviation 10
    images = np.broadcast_to(levels[:, None, None, None], (2, 8, 8, 3))
    assert descriptions.image_distance(images, images - 10) == pytest.approx(np.sqrt(3 / 8))  # 3 of 8 statistics
    assert descriptions.image_distance(images, images) == 0
    for wrong in (images[0], images.astype(float), images[:, :4]):
        with pytest.raises(InputError, match=r"images must be uint8, shape \(n_images, height, width, 3\)"):
            descriptions.image_distance(wrong, images)


def test_meta_features_are_compared_in_units_of_their_spread_over_datasets():
    table = pd.DataFrame({"a": [0.0, 2.0, 4.0], "b": [1.0, 1.0, 1.0], "c": [0.0, 0.0, 3.0]}, index=["x", "y", "z"])
    scale = descriptions.scale(table)
    assert scale.to_dict() == pytest.approx({"a": 2.0, "b": 0.0, "c": np.sqrt(3)})
    assert descriptions.meta_distance(table.loc["x"], table.loc["z"], scale) == pytest.approx(np.sqrt((2**2 + 3) / 2))
    with pytest.raises(InputError, match="need the same meta-features"):
        descriptions.meta_distance(table.loc["x"], table.loc["z", ["a", "b"]], scale)
    with pytest.raises(InputError, match="Pass at least one of them"):
        descriptions.describe()


@pytest.mark.parametrize(
    ("fisher", "message"),
    [
        (np.ones(4), r"both of one probe network; got \(4,\) and \(3,\)"),
        ([1.0, np.nan, 0.0], "fisher: filter 1 is nan"),
        ([1.0, 0.0, -2.0], "fisher: filter 2 is -2.0"),
        (np.zeros(3), "fisher is 0 for all filters"),
    ],
)
def test_an_invalid_embedding_is_refused(fisher, message):
    with pytest.raises(InputError, match=message):
        task2vec.cosine(fisher, np.ones(3))
