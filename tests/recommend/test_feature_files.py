import numpy as np
import pandas as pd
import pytest

from catscans_lib.errors import InputError
from catscans_lib.recommend import feature_files

IMAGES = pd.DataFrame(
    [("a/1", "a/1.png"), ("a/2", "a/2.png"), ("b/1", "b/1.png"), ("b/x", "b/x.png")], columns=["image_id", "path"]
)
NUMBERS = np.arange(12.0).reshape(4, 3) ** 2


def of(path, images=IMAGES):
    return feature_files.joined(path, feature_files.read(path)[0], images, IMAGES)


def saved(folder, table, form, name="path"):
    path = folder / f"mine.{form}"
    if form == "npz":
        np.savez(path, **{name: np.array(table.index, dtype=str)}, features=table.to_numpy())
    else:
        table.rename_axis(name).to_csv(path)
    return path


@pytest.mark.parametrize("form", ["npz", "csv"])
@pytest.mark.parametrize(
    "ids",
    [
        ["a/1", "a/2", "b/1", "b/x"],
        ["a/1.png", "a/2.png", "b/1.png", "b/x.png"],
        ["./a/1.png", "/home/me/cells/a/2.png", "cells\\b\\1.png", "x.png"],
    ],
)
def test_rows_are_joined_by_id_or_path_whatever_their_order(tmp_path, form, ids):
    table = pd.DataFrame(NUMBERS, index=ids)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        found, notes = of(saved(tmp_path, table.iloc[order], form))
        np.testing.assert_array_equal(found, NUMBERS)
        assert notes == []
    np.testing.assert_array_equal(of(saved(tmp_path, table, form), IMAGES.iloc[[2, 0]])[0], NUMBERS[[2, 0]])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a/1", "a/2", "b/1", "q"], "no row for 1 image of 4: b/x."),
        (["a/1", "a/1.png", "b/1", "b/x"], "several rows for 1 image: a/1."),
        (["a/1", "a/2", "1.png", "b/x"], "no row for 1 image of 4: b/1."),  # two folders have a 1.png
        (
            ["r0", "r1", "r2", "r3"],
            "none of its 4 ids is one of your images. Its first id is 'r0'; your first image has id 'a/1'",
        ),
    ],
)
def test_missing_repeated_and_strange_ids_are_named(tmp_path, ids, message):
    with pytest.raises(InputError) as error:
        of(saved(tmp_path, pd.DataFrame(NUMBERS, index=ids), "npz"))
    assert message in str(error.value)


def test_rows_of_other_images_and_constant_columns_are_ignored_and_told(tmp_path):
    table = pd.DataFrame(np.vstack([NUMBERS, NUMBERS[:1]]), index=[*IMAGES["path"], "c/9.png"], columns=list("uvw"))
    found, notes = of(saved(tmp_path, table.assign(v=5.0), "csv"))
    np.testing.assert_array_equal(found, NUMBERS[:, [0, 2]])
    assert notes == [
        "mine.csv: ignored 1 row of no image read, such as c/9.png.",
        "mine.csv: ignored 1 constant feature: v.",
    ]
    with pytest.raises(InputError, match="every feature is the same for all images"):
        of(saved(tmp_path, table * 0, "csv"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_named_by_image_and_column(tmp_path, bad):
    table = pd.DataFrame(NUMBERS, index=IMAGES["path"], columns=list("uvw"))
    table.loc["b/1.png", "w"] = bad
    for form, column in (("csv", "w"), ("npz", "2")):
        with pytest.raises(
            InputError, match=f"NaN or infinite features in 1 image: b/1; columns: {column}. Compute them"
        ):
            of(saved(tmp_path, table, form))


def test_the_class_is_no_feature_and_text_is_refused(tmp_path):
    table = pd.DataFrame(NUMBERS, index=IMAGES["path"], columns=list("uvw")).assign(Label=[0, 0, 1, 1])
    found, notes = feature_files.read(saved(tmp_path, table, "csv"))
    assert list(found) == list("uvw") and notes == ["mine.csv: not used as a feature: Label."]
    with pytest.raises(InputError, match=r"column 'w' holds text \('cat'\), and features are numbers"):
        feature_files.read(saved(tmp_path, table.assign(w="cat"), "csv"))


def test_files_that_are_no_features_are_refused(tmp_path):
    path = tmp_path / "mine.npz"
    for arrays, message in (
        ({"features": NUMBERS}, "has the arrays features; needed are path"),
        ({"path": np.array(["a/1"]), "features": NUMBERS}, r"path has the shape \(1,\), features \(4, 3\)"),
        ({"path": np.array(["a/1"], dtype=object), "features": NUMBERS[:1]}, "allow_pickle"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=message):
            feature_files.read(path)
    path.write_text("no archive")
    with pytest.raises(InputError, match="'mine.npz' cannot be read"):
        feature_files.read(path)
    pd.DataFrame(NUMBERS).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(InputError, match="no column holds the image ids or paths, such as image_id, path, id"):
        feature_files.read(tmp_path / "mine.csv")
    with pytest.raises(InputError, match="No feature file '.*mine.txt'. Known formats: .npz, .csv, .parquet"):
        feature_files.read(tmp_path / "mine.txt")
