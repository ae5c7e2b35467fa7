"""Properties that every measure has to have, taken from its record: registering a measure is enough to test it."""

import re
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.special import softmax

from catscans_lib.errors import InputError
from catscans_lib.similarity import measure, registry
from catscans_lib.similarity.measure import Inputs

N_CLASSES = 3


def measures(condition=lambda one: True):
    return pytest.mark.parametrize("name", [one.name for one in registry.MEASURES.values() if condition(one)])


LABELLED = measures(lambda one: "labels" in one.arguments and one.larger_is_closer)
FROM_FEATURES = measures(lambda one: "features" in one.arguments)
DISTANCES = measures(lambda one: not one.larger_is_closer)


def classes_in_space(rng, n, d, separation):
    """Labels in turn, and classes of unlike spread round means `separation` apart along the axes."""
    labels = np.arange(n) % N_CLASSES
    spread = rng.uniform(0.5, 1.5, (N_CLASSES, d))
    return separation * np.eye(N_CLASSES, d)[labels] + rng.normal(size=(n, d)) * spread[labels], labels


def world(n=60, d=8, separation=2.0, shift=1.0, seed=0):
    """Everything a measure can need; the source lies `shift` away from the target in all that is compared."""
    rng = np.random.default_rng(seed)
    features, labels = classes_in_space(rng, n, d, separation)
    source, _ = classes_in_space(rng, n - 6, d, separation)
    fisher = rng.gamma(2.0, size=200)
    source_fisher = fisher * np.exp(shift * rng.normal(size=200))
    return Inputs(
        features=features, labels=labels, source_head=softmax(3 * features[:, :5], axis=1),
        source_features=source + shift,
        fisher=fisher, source_fisher=source_fisher,
    )  # fmt: skip


def in_range(value, name):
    low, high = registry.get(name).range
    return isinstance(value, float) and low - 1e-9 <= value <= high + 1e-9


@measures()
@pytest.mark.parametrize("more_features", [{}, {"n": 30, "d": 100}], ids=["", "more features than images"])
def test_a_value_lies_in_the_stated_range_and_a_seed_repeats_it(name, more_features):
    value = registry.get(name).compute(world(**more_features), seed=3)
    assert in_range(value, name)
    assert value == registry.get(name).compute(world(**more_features), seed=3)


def test_there_are_at_most_25_measures_with_complete_records_and_different_titles_and_an_unknown_name_is_refused():
    records = registry.MEASURES.values()
    assert len({one.title for one in records}) == len(registry.MEASURES) <= 25
    assert all(all([one.title, one.why, one.cost, one.reference, one.blind_to]) for one in records)
    with pytest.raises(InputError, match="Unknown measure 'LogME'; known: .*logme"):
        registry.get("LogME").compute(world())


def test_pages_open_with_the_primary_measure_and_at_most_eight_others():
    leading = registry.leading("gbc", registry.MEASURES)
    assert leading[0] == "gbc" and len(leading) == len(set(leading)) == 9
    assert set(registry.LEADING) <= set(registry.MEASURES)
    assert registry.leading("logme", ["mmd_rbf", "logme"]) == ["logme", "mmd_rbf"]
    assert registry.leading("logme", ["gbc", "parc", "gbc"]) == ["gbc", "parc"]


@measures()
def test_a_missing_part_is_named(name):
    last = registry.get(name).arguments[-1]
    with pytest.raises(InputError, match=f"needs .*; missing: {last}. Pass"):
        registry.get(name).compute(replace(world(), **{last: None}))
    assert registry.get(name).missing(replace(world(), **{last: None})) == [last]
    assert not registry.get(name).missing(world())


def of_permuted_labels(name, inputs, n):
    shuffled = [np.random.default_rng(seed).permutation(inputs.labels) for seed in range(n)]
    return [registry.get(name).compute(replace(inputs, labels=labels)) for labels in shuffled]


@LABELLED
def test_permuted_labels_score_lower_than_the_true_ones(name):
    assert max(of_permuted_labels(name, world(), 3)) < registry.get(name).compute(world())


CHANCE = {"linear_probe_auc": 0.5, "parc": 0.0}


@pytest.mark.parametrize("name", CHANCE)
def test_permuted_labels_score_at_chance(name):
    values = of_permuted_labels(name, world(n=240), 6)
    assert np.mean(values) == pytest.approx(CHANCE[name], abs=1.0 if name == "parc" else 0.05)


@LABELLED
def test_classes_further_apart_score_higher(name):
    values = [registry.get(name).compute(world(separation=separation)) for separation in (0.0, 2.0, 4.0)]
    assert values[0] < values[1] < values[2]


@DISTANCES
def test_a_source_further_away_is_further_away(name):
    values = [registry.get(name).compute(world(shift=shift)) for shift in (0.0, 1.0, 2.0)]
    assert values[0] < values[1] < values[2]


@DISTANCES
def test_the_distance_of_a_dataset_to_itself_is_0_or_by_chance_below(name):
    inputs = world()
    itself = {field.name: getattr(inputs, field.name.removeprefix("source_")) for field in fields(Inputs)
              if field.name.startswith("source_") and field.name != "source_head"}  # fmt: skip
    assert registry.get(name).compute(replace(inputs, **itself)) <= 1e-6 * registry.get(name).compute(inputs)


@measures(lambda one: one.is_symmetric)
def test_the_sides_of_a_symmetric_measure_may_be_exchanged(name):
    inputs = world()
    sides = registry.get(name).arguments
    half = len(sides) // 2
    turned = dict(zip(sides, [getattr(inputs, part) for part in sides[half:] + sides[:half]], strict=True))
    expected = pytest.approx(registry.get(name).compute(inputs), rel=1e-6, abs=1e-9)
    assert registry.get(name).compute(replace(inputs, **turned)) == expected


TRANSFORMS = {
    "rotation": lambda x: x @ np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0],
    "scale": lambda x: 3 * x,
    "shift": lambda x: x + np.arange(x.shape[1]),
}
CLAIMS = [(one.name, kind) for one in registry.MEASURES.values() for kind in sorted(one.invariances)]


@pytest.mark.parametrize(("name", "kind"), CLAIMS)
def test_claimed_invariances_hold(name, kind):
    inputs = world()
    parts = (
        ("features", "source_features") if "features" in registry.get(name).arguments else ("fisher", "source_fisher")
    )
    changed = replace(inputs, **{part: TRANSFORMS[kind](getattr(inputs, part)) for part in parts})
    assert registry.get(name).compute(changed) == pytest.approx(registry.get(name).compute(inputs), rel=1e-5, abs=1e-9)


@FROM_FEATURES
@pytest.mark.parametrize("constant", [slice(2, 4), slice(None)])
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_features_that_are_the_same_for_all_images_give_no_nan(name, constant, value):
    inputs = world(n=30)
    changed = {part: getattr(inputs, part).copy() for part in ("features", "source_features")}
    for part in changed.values():
        part[:, constant] = value
    found = registry.get(name).compute(replace(inputs, **changed))
    assert np.isfinite(found) and in_range(found, name)


DEGENERATE = {
    "duplicate rows": lambda x: x[np.arange(len(x)) % 4], "two images": lambda x: x[:2], "single precision": np.float32,
    "half precision": np.float16, "whole numbers": np.round, "dead": lambda x: np.maximum(x - 4, 0), "far": lambda x: x + 1e9,
    "tiny": lambda x: 1e-150 * x, "large": lambda x: 1e30 * x, "huge": lambda x: 1e200 * x,
    "of many scales": lambda x: x * 10.0 ** np.arange(-12, 12, 3), "apart": lambda x: 1e-9 * x + np.eye(len(x), 8),
}  # fmt: skip
REFUSED = {
    "huge": "at most 1e\\+60", "two images": "fewer than 2 folds", "large": "ill-defined empirical covariance",
    "of many scales": "ill-defined empirical covariance",
}  # fmt: skip


@FROM_FEATURES
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_features_give_a_value_in_range_or_a_clear_error(name, kind):
    inputs = world(n=30)
    parts = {part: DEGENERATE[kind](getattr(inputs, part)) for part in ("features", "source_features")}
    labels = inputs.labels[: len(parts["features"])]
    try:
        found = registry.get(name).compute(replace(inputs, **parts, labels=labels))
    except ValueError as error:
        assert kind in REFUSED and re.search(REFUSED[kind], str(error))
    else:
        assert np.isfinite(found) and in_range(found, name)
        assert kind != "huge"


@FROM_FEATURES
def test_a_feature_that_is_not_finite_is_refused_with_its_row(name):
    inputs = world()
    inputs.features[7, 2] = np.nan
    with pytest.raises(InputError, match="features: row 7 holds NaN or infinity \\(1 of 60 rows do\\)"):
        registry.get(name).compute(inputs)


@measures(lambda one: "labels" in one.arguments)
def test_invalid_labels_are_refused(name):
    inputs = world()
    for labels, message in (
        (np.zeros(60, int), "all images have the same class"),
        (inputs.labels.astype(float), "must be integers from 0"),
        (inputs.labels - 1, "must be integers from 0"),
        (inputs.labels * 2, "each with an image; got .0 2"),
        (inputs.labels[1:], r"shape \(60,\), one per image; got \(59,\)"),
    ):
        with pytest.raises(InputError, match=message):
            registry.get(name).compute(replace(inputs, labels=labels))


@FROM_FEATURES
def test_inputs_are_not_changed(name):
    inputs = world()
    before = {field.name: np.copy(getattr(inputs, field.name)) for field in fields(Inputs) if "features" in field.name}
    registry.get(name).compute(inputs)
    for part, values in before.items():
        np.testing.assert_array_equal(getattr(inputs, part), values)


@measures(lambda one: "source_features" in one.arguments)
def test_features_of_two_networks_are_not_compared_as_if_of_one(name):
    inputs = world()
    with pytest.raises(ValueError, match="must have the same number of columns"):
        registry.get(name).compute(replace(inputs, source_features=inputs.source_features[:, :7]))


def test_a_function_gets_its_arguments_optional_fields_and_seed_and_nothing_else():
    def function(*given, **named):
        assert (given, named) == ((1, 2), {"groups": 3, "seed": 7})
        return 5

    record = measure.Measure(
        name="a", title="A", function=function, arguments=("labels", "features"), larger_is_closer=True, range=(0, 9),
        cost="", reference="", blind_to="", why="", optional=("groups", "source_head"), is_random=True,
    )  # fmt: skip
    assert record.compute(Inputs(features=2, labels=1, groups=3, fisher=4), seed=7) == 5.0
