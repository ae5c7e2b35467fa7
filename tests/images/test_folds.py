import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from catscans_lib.errors import InputError
from catscans_lib.images import findings, folds


def random_table(seed, n_images=300, n_groups=120, shares=(0.6, 0.3, 0.1), n_copies=10):
    """Groups of several images and one class each; some files copied into another group of the same class."""
    rng = np.random.default_rng(seed)
    class_of = np.sort(rng.choice(len(shares), n_groups, p=shares))
    group = rng.integers(0, n_groups, n_images)
    sha256 = np.array([f"sha{i}" for i in range(n_images)])
    for one, other in rng.integers(0, n_images, (n_copies, 2)):
        if class_of[group[one]] == class_of[group[other]]:
            sha256[one] = sha256[other]
    table = pd.DataFrame({"group": [f"g{g}" for g in group], "label": [f"class{class_of[g]}" for g in group]})
    return table.assign(image_id=[f"img{i:04d}" for i in range(n_images)], sha256=sha256)


def largest_unit(table):
    """Size of the largest set linked by groups or equal files, by repeated merging."""
    unit = table["group"]
    for _ in range(len(table)):
        merged = unit.groupby(table["sha256"]).transform("min").groupby(table["group"]).transform("min")
        if merged.equals(unit):
            break
        unit = merged
    return unit.value_counts().max()


def assert_kept_together(made, table):
    """No group and no file is in two folds."""
    joined = made.merge(table[["image_id", "sha256"]], on="image_id")
    assert joined.groupby("group")["fold"].nunique().max() == 1
    assert joined.groupby("sha256")["fold"].nunique().max() == 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("has_groups", [True, False])
def test_every_image_is_in_one_fold_no_group_or_file_in_two_and_folds_share_the_classes_evenly(seed, has_groups):
    table = random_table(seed)
    if not has_groups:  # counts of a class then differ by at most one
        table = table.assign(group=table["image_id"], sha256=table["image_id"])
    made = folds.make(table, n_folds=4, seed=seed)
    assert list(made.columns) == ["image_id", "group", "label", "fold"]
    columns = ["image_id", "group", "label"]
    pd.testing.assert_frame_equal(made[columns], table.sort_values("image_id", ignore_index=True)[columns])
    assert set(made["fold"]) == {1, 2, 3, 4}
    counts = pd.crosstab(made["label"], made["fold"])
    assert (counts > 0).all(axis=None)
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= largest_unit(table)
    assert_kept_together(made, table)


images = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abc"), st.integers(0, 90)), min_size=20, max_size=120)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(images, st.integers(2, 4), st.integers(0, 5))
def test_folds_of_random_groups_and_copies_keep_every_promise_or_name_a_class(rows, n_folds, seed):
    table = pd.DataFrame(rows, columns=["group", "label", "sha256"]).astype(str)
    table["image_id"] = [f"{number:03d}" for number in range(len(table))]
    try:
        made = folds.make(table, n_folds=n_folds, seed=seed)
    except InputError as error:
        event("refused")
        assert re.match(r"Class '[abc]' (has \d+ groups?|is missing in a fold)", str(error))
        return
    event("folds made")
    assert list(made["image_id"]) == list(table["image_id"])
    assert set(made["fold"]) == set(range(1, n_folds + 1))
    assert_kept_together(made, table)
    assert (pd.crosstab(made["fold"], made["label"]) > 0).all(axis=None)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(images, st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_part_has_whole_units_and_leaves_every_class(rows, share, seed):
    table = pd.DataFrame(rows, columns=["group", "label", "sha256"]).astype(str)
    units = folds.linked(table)
    try:
        marked = folds.part(table["label"], units, share, seed)
    except InputError as error:
        event("refused")
        assert re.search(r"cannot be split|No part of \d+ images leaves every class", str(error))
        return
    event("part made")
    assert 0 < marked.sum() < len(table)
    assert set(table["label"][~marked]) == set(table["label"])
    for column in ("group", "sha256"):
        assert not set(table[column][marked]) & set(table[column][~marked])


@pytest.mark.parametrize("n_per_class", [5, 8, 10, 19])
@pytest.mark.parametrize("share", [0.1, 0.15, 0.2, 0.3])
def test_a_part_of_few_images_a_class_is_the_nearest_fraction_of_a_class_on_every_python(share, n_per_class):
    label = pd.Series(np.repeat(list("abcdefghij"), n_per_class))
    marked = folds.part(label, np.arange(len(label)), share, seed=0)
    nearest = min(
        (Fraction(k, n) for n in range(2, n_per_class + 1) for k in range(1, n)), key=lambda of: abs(of - share)
    )
    assert marked.mean() == pytest.approx(float(nearest), abs=0.02)


@pytest.mark.parametrize("n_per_group", [1, 4])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.4, 0.5, 0.7, 0.9, 0.95])
def test_a_part_is_as_large_as_asked_for_and_keeps_the_class_shares(share, n_per_group):
    label = pd.Series(np.repeat(["a", "b"], [300, 100]))
    marked = folds.part(label, np.arange(400) // n_per_group, share, seed=0)
    assert marked.mean() == pytest.approx(share, abs=0.01)
    assert (label[marked] == "b").mean() == pytest.approx(0.25, abs=0.06)


def test_a_large_group_is_not_a_small_part_of_the_images():
    units = np.repeat(np.arange(41), [60] + [1] * 40)
    assert folds.part(pd.Series(["a", "b"] * 50), units, 0.1, seed=0).mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("max_images", [None, 100])
def test_folds_do_not_depend_on_the_order_of_the_rows_but_on_the_seed(max_images):
    table = random_table(1)
    shuffled = table.sample(frac=1, random_state=5).set_index(np.arange(300) * 7)
    first = folds.make(table, n_folds=4, seed=0, max_images=max_images)
    pd.testing.assert_frame_equal(folds.make(shuffled, n_folds=4, seed=0, max_images=max_images), first)
    assert not folds.make(table, n_folds=4, seed=1, max_images=max_images).equals(first)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("max_images", [60, 150, 299])
def test_a_subset_has_whole_groups_about_the_size_and_the_class_shares(seed, max_images):
    table = random_table(seed)
    made = folds.make(table, n_folds=3, seed=seed, max_images=max_images)
    assert max_images <= len(made) < max_images + largest_unit(table)
    chosen = table["group"].isin(made["group"])
    assert chosen.sum() == len(made)
    shares = table["label"].value_counts(normalize=True)
    assert (made["label"].value_counts(normalize=True) - shares).abs().max() < 0.12
    everything = folds.make(table, n_folds=3, seed=seed, max_images=10_000)
    assert everything.equals(folds.make(table, n_folds=3, seed=seed))


def test_a_rare_class_still_reaches_every_fold_of_a_subset():
    rare = pd.DataFrame({"image_id": [f"r{i}" for i in range(6)], "label": "rare"})
    common = pd.DataFrame({"image_id": [f"c{i}" for i in range(994)], "label": "common"})
    table = pd.concat([rare, common]).assign(group=lambda t: t["image_id"], sha256=lambda t: t["image_id"])
    made = folds.make(table, n_folds=5, seed=0, max_images=100)
    assert pd.crosstab(made["label"], made["fold"]).loc["rare"].tolist() == [1, 1, 1, 1, 1]
    assert len(made) == 100


def test_too_few_groups_images_or_folds_are_refused():
    table = pd.DataFrame({"image_id": list("abcdefgh"), "label": ["x"] * 4 + ["y"] * 4})
    table = table.assign(
        group=table["image_id"], sha256=["same"] * 4 + list("efgh")
    )  # equal files join the groups of x
    with pytest.raises(InputError, match="Class 'x' has 1 group, fewer than 2 folds. Use fewer folds"):
        folds.make(table, n_folds=2, seed=0)
    with pytest.raises(InputError, match="among the max_images=5 drawn"):
        folds.make(random_table(0), n_folds=5, seed=0, max_images=5)


def test_another_seed_is_tried_before_a_fold_without_a_class_is_an_error(monkeypatch):
    states = []

    class Splitter:
        """Leaves class x out of fold 1 until the third seed."""

        def __init__(self, n_folds, shuffle, random_state):
            states.append(random_state)

        def split(self, *_):
            held_out = [[0, 1], [2, 3]] if len(states) < 3 else [[0, 2], [1, 3]]
            return ((None, np.array(rows)) for rows in held_out)

    ids = list("abcd")
    table = pd.DataFrame({"image_id": ids, "group": ids, "label": list("xxyy"), "sha256": ids})
    monkeypatch.setattr(folds, "StratifiedGroupKFold", Splitter)
    assert folds.make(table, n_folds=2, seed=0)["fold"].tolist() == [1, 2, 1, 2]
    assert len(set(states)) == 3
    monkeypatch.setattr(folds, "N_TRIES", 2)
    states.clear()
    with pytest.raises(InputError, match="Class 'x' is missing in a fold for each of 2 seeds"):
        folds.make(table, n_folds=2, seed=0)


def test_saved_folds_keep_their_types_and_missing_ones_are_named(tmp_path):
    table = random_table(0).replace({"label": {"class0": "NA"}})  # pandas would read NA as missing
    made = folds.make(table.assign(group=table["group"].str.replace("g", "00")), n_folds=3, seed=0)
    made.to_csv(tmp_path / "chest.csv", index=False)
    pd.testing.assert_frame_equal(folds.read(tmp_path / "chest.csv"), made)
    with pytest.raises(InputError, match=r"No folds '.*dtd\.csv'. Run the ingest notebook"):
        folds.read(tmp_path / "dtd.csv")


def findings_table(seed, n_images=600, shares=(0.4, 0.2, 0.05, 0.03, 0.01)):
    """Groups of several images; each image has any number of findings, some groups more than others."""
    rng = np.random.default_rng(seed)
    table = random_table(seed, n_images).drop(columns="label")
    likely = rng.gamma(2, 0.5, 120)[table["group"].str[1:].astype(int)]
    has = rng.random((n_images, len(shares))) < likely[:, None] * shares
    return table.assign(label=[findings.joined(f"f{k}" for k in np.flatnonzero(row)) for row in has]), has


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("has_groups", [True, False])
def test_folds_share_every_finding_evenly(seed, has_groups):
    table, has = findings_table(seed)
    if not has_groups:
        table = table.assign(group=table["image_id"], sha256=table["image_id"])
    made = folds.make(table, n_folds=5, seed=seed, multi_label=True)
    pd.testing.assert_frame_equal(folds.make(table.iloc[::-1], n_folds=5, seed=seed, multi_label=True), made)
    assert not made.equals(folds.make(table, n_folds=5, seed=seed + 99, multi_label=True))
    assert_kept_together(made, table)
    fold = made["fold"].to_numpy()
    counts = np.array([np.append(has[fold == number].sum(axis=0), (fold == number).sum()) for number in range(1, 6)])
    # in random folds, the most frequent finding differs by about 25 images
    apart = np.ptp(counts, axis=0)
    assert (apart[:-1] <= (4 if has_groups else 2)).all() and apart[-1] <= 30, counts
    drawn = folds.make(table, n_folds=5, seed=seed, max_images=200, multi_label=True)
    kept = has[table["image_id"].isin(drawn["image_id"])]
    assert abs(len(kept) - 200) <= 30 and (kept.sum(axis=0) >= np.minimum(5, has.sum(axis=0))).all()
    marked = folds.part(has, folds.linked(table), 0.2, seed)
    assert abs(marked.mean() - 0.2) < 0.03 and has[~marked].any(axis=0).all()


def test_findings_that_do_not_fill_the_folds_are_refused():
    table, _ = findings_table(0, n_images=20)
    with pytest.raises(InputError, match="groups with .* findings do not fill 30 folds"):
        folds.make(table, n_folds=30, seed=0, multi_label=True)
