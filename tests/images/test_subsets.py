"""Which images of a dataset are looked at: classes by their shares, halves without a common group."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from catscans_lib.datasets import demo
from catscans_lib.images import store


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """300 patches of few slides."""
    path = tmp_path_factory.mktemp("stores") / "pcam.h5"
    images, table, classes = demo.make("pcam_middle", n_images=300, size_px=16)
    store.write_arrays(path, images, table, classes, dataset="pcam_middle", size_px=16)
    return store.open_store(path)


def test_halves_share_no_group_and_repeat_with_their_seed(opened):
    rows = np.arange(300)
    one, other = (store.half(opened, rows, 3, which) for which in (0, 1))
    groups = opened.table["group"]
    assert sorted([*one, *other]) == list(rows)
    assert not set(groups.iloc[one]) & set(groups.iloc[other])
    np.testing.assert_array_equal(one, store.half(opened, rows, 3, 0))
    assert not np.array_equal(one, store.half(opened, rows, 4, 0))


def test_classes_keep_their_shares_give_or_take_one():
    labels = np.repeat(["a", "b", "c"], [700, 250, 50])
    drawn = store.draw(labels, 40, 0)
    assert pd.Series(labels[drawn]).value_counts().to_dict() == {"a": 28, "b": 10, "c": 2}
    assert len(set(drawn)) == 40
    np.testing.assert_array_equal(drawn, store.draw(labels, 40, 0))
    assert not np.array_equal(drawn, store.draw(labels, 40, 1))
    labels = np.repeat(["a", "b", "c"], [997, 2, 1])  # a rare class keeps two images where it has them
    assert pd.Series(labels[store.draw(labels, 20, 0)]).value_counts().to_dict() == {"a": 20, "b": 2, "c": 1}


def test_a_subset_numbers_the_classes_that_occur_and_knows_its_images(opened):
    some = store.subset(opened, np.arange(100, 200), 30, 0)
    assert set(some.rows) <= set(range(100, 200))
    names = opened.table["label"].to_numpy()[some.rows]
    assert [sorted(set(names))[label] for label in some.labels] == list(names)
    assert list(some.groups) == list(opened.table["group"].iloc[some.rows])


def test_equal_files_of_two_slides_are_one_group_in_subsets_and_halves(opened):
    table = opened.table.copy()
    row = int((table["group"] != table["group"][0]).idxmax())
    table.loc[row, "sha256"] = table["sha256"][0]
    linked = replace(opened, table=table)
    groups = store.subset(linked, np.arange(300), 300, 0).groups
    assert groups[row] == groups[0] and len(set(groups)) == table["group"].nunique() - 1
    for seed in range(5):
        assert (0 in store.half(linked, np.arange(300), seed, 0)) == (
            row in store.half(linked, np.arange(300), seed, 0)
        )
