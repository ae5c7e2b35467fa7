"""Fewer training images: nested, whole groups, every class, seeded."""

from itertools import pairwise

import numpy as np
import pytest

from catscans_lib.errors import InputError
from catscans_lib.images import draws

SIZES = {"n_images": (12, 30, 31, 80), "n_per_class": (2, 3, 6)}


def made(seed, *, mixed=False):
    """Labels of 120 images in three classes of unequal size and groups of one to four images."""
    rng = np.random.default_rng(seed)
    units = np.sort(rng.integers(50, size=120))
    of_unit = np.arange(3).repeat((5, 15, 30))  # class by unit, so that groups are pure
    labels = rng.integers(3, size=120) if mixed else of_unit[units]
    return labels, units[rng.permutation(120)] if mixed else units


@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_smaller_draws_lie_within_larger_ones_have_whole_groups_and_every_class(key, mixed, seed):
    labels, units = made(seed, mixed=mixed)
    drawn = [draws.fewer(labels, units, seed, **{key: n}) for n in SIZES[key]]
    for small, large in pairwise(drawn):
        assert not (small & ~large).any()
    largest = np.bincount(units).max()
    for n, mask in zip(SIZES[key], drawn, strict=True):
        assert not set(units[mask]) & set(units[~mask])
        counts = np.bincount(labels[mask], minlength=3)
        assert counts.min() >= (1 if key == "n_images" else n)
        if key == "n_images":
            assert n <= mask.sum() < n + largest
        elif not mixed:
            assert counts.max() < n + largest
        again = draws.fewer(labels, units, seed, **{key: n})
        np.testing.assert_array_equal(mask, again)
    assert any((draws.fewer(labels, units, other, **{key: SIZES[key][0]}) != drawn[0]).any() for other in (97, 98))


def test_class_shares_stay():
    labels, units = np.repeat([0, 1], (90, 210)), np.arange(300)
    drawn = [labels[draws.fewer(labels, units, seed, n_images=100)].mean() for seed in range(5)]
    np.testing.assert_allclose(drawn, 0.7, atol=0.011)


@pytest.mark.parametrize("seed", range(5))
def test_images_with_several_findings_are_drawn_nested_and_common_findings_keep_their_share(seed):
    rng = np.random.default_rng(seed)
    has, units = rng.random((400, 3)) < (0.5, 0.2, 0.05), np.arange(400) // 2
    small, large = (draws.fewer(has, units, seed, n_images=n) for n in (60, 200))
    assert not (small & ~large).any() and has[small].any(axis=0).all()
    np.testing.assert_allclose(has[large].mean(axis=0), has.mean(axis=0), atol=0.06)
    each = draws.fewer(has, units, seed, n_per_class=5)
    assert (has[each].sum(axis=0) >= 5).all() and each.sum() < 100


@pytest.mark.parametrize(
    ("units", "size", "message"),
    [
        (np.arange(12), {"n_images": 13}, "n_images is 13, and there are 12 training images. Use a smaller number"),
        (np.arange(12), {"n_per_class": 3}, "n_per_class is 3, and there are 2 training images of the rarest class"),
        (np.arange(12), {"n_images": 2}, "n_images is 2, too few for a group of each of 3 classes: 1 would"),
        (np.repeat([0, 1, 2], (5, 5, 2)), {"n_images": 11}, "have 3 groups, of which all would be needed"),
    ],
)
def test_a_size_that_cannot_be_drawn_is_refused(units, size, message):
    labels = np.repeat([0, 1, 2], (5, 5, 2))
    with pytest.raises(InputError, match=message):
        draws.fewer(labels, units, 0, **size)
