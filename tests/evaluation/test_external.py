"""Which images and sources take part in the evaluation on another collection, and on which classes."""

import numpy as np
import pandas as pd
import pytest

from catscans_lib import datasets, figures, paths, results
from catscans_lib.errors import InputError
from catscans_lib.evaluation import External, Pair, external
from catscans_lib.evaluation.tables import KEYS
from catscans_lib.images import duplicates, store

LABELS_AS = {"melanoma": ["MEL"], "nevus": ["NV"]}
PAIR = Pair(train="isic2018", test="isic2017", labels_as=LABELS_AS)


@pytest.fixture
def make(tmp_path):
    """Return a function that makes an image store; images of equal numbers are equal."""

    def made(dataset, numbers, labels, ids=None, groups=None):
        images = np.stack([np.random.default_rng(one).integers(0, 256, (16, 16, 3)).astype("uint8") for one in numbers])
        ids = [f"{dataset}_{one:03d}" for one in numbers] if ids is None else ids
        table = pd.DataFrame(
            {"image_id": ids, "label": labels, "group": ids if groups is None else groups, "split": ""}
        )
        path = tmp_path / f"{dataset}.h5"
        store.write_arrays(path, images, table, tuple(sorted(set(map(str, labels)))), dataset=dataset, size_px=16)
        return store.open_store(path)

    return made


def test_images_that_were_trained_on_and_their_groups_are_left_out_and_counted_once(make):
    labels = ["melanoma", "nevus"] * 4 + ["seborrheic_keratosis"] * 2
    ids, groups = [f"x{one}" for one in range(10)], ["g0", "g1", "g2", "g2", "g4", "g5", "g6", "g7", "g8", "g9"]
    test = make("isic2017", range(100, 110), labels, ids, groups)
    # Image 102 is in the training target as the same file, x5 by its id; 104 is in the source, which 100 is left out of
    train = make("isic2018", [102, 1, 2, 3], ["MEL", "NV", "MEL", "NV"], ["a", "x5", "c", "d"])
    source = make("dtd", [104, 4, 100], ["one", "two", "one"])
    images, left_out = external.usable(
        test, PAIR, {"isic2018": (train, train.table), "dtd": (source, source.table.drop(index=1))}
    )
    assert images == {"x0", "x1", "x6", "x7"}
    assert left_out[["dataset", "reason", "n_images"]].to_numpy().tolist() == [
        ["isic2017", "class 'seborrheic_keratosis' has no counterpart", 2],
        ["isic2018", "same image or group", 3],
        ["dtd", "same image or group", 1],
    ]


def test_nearly_equal_images_are_left_out_and_a_collection_without_other_images_is_refused(make):
    test = make("isic2017", range(100, 104), ["melanoma", "nevus"] * 2)
    brighter = make("dtd", range(100, 104), ["a", "b"] * 2)
    images = np.clip(np.asarray(brighter.images[:3]).astype(int) + 2, 0, 255).astype("uint8")
    near = store.ImageStore(images, brighter.table.assign(sha256=list("wxyz"))[:3], ("a", "b"), "dtd", 16, "")
    with pytest.raises(InputError, match=r"1 of 4 images are left, without two classes. Left out: 3 near duplicate"):
        external.usable(test, PAIR, {"dtd": (near, near.table)})


def test_near_marks_the_hashes_within_three_bits_of_another():
    hashes = np.array([0b0, 0b1111, 0b111, 1 << 40], np.uint64)
    assert duplicates.near(hashes, np.array([0b0], np.uint64)).tolist() == [True, False, True, True]
    assert duplicates.near(hashes, np.array([0b11111], np.uint64)).tolist() == [False, True, True, False]


def table(**columns):
    n = len(columns["label"])
    keys = {"source": "dtd", "target": "isic2018", "mode": "fine_tune", "fold": 1, "seed": 0}
    ids = [str(one) for one in range(n)]
    return pd.DataFrame({**keys, "image_id": ids, "group": ids, **columns})[[*KEYS, "image_id", "group", *columns]]


def test_probabilities_are_those_given_one_of_the_corresponding_classes():
    found = external.mapped(
        table(label=["nevus", "melanoma", "new", "nevus"], score_MEL=[0.2, 0.6, 0.1, 0.0], score_NV=[0.2, 0.2, 0.8, 0.0],
              score_BKL=[0.6, 0.2, 0.1, 1.0]), LABELS_AS, several=False,
    )  # fmt: skip
    assert found["label"].tolist() == ["NV", "MEL", "NV"]
    np.testing.assert_allclose(found[["score_MEL", "score_NV"]], [[0.5, 0.5], [0.75, 0.25], [0.5, 0.5]])


def test_probabilities_of_several_classes_that_correspond_to_one_are_added():
    labels_as = {"no": ["notumor"], "yes": ["glioma", "pituitary"]}
    found = external.mapped(
        table(label=["yes"], score_notumor=[0.4], score_glioma=[0.3], score_pituitary=[0.3]), labels_as, several=False
    )
    assert found["label"].tolist() == ["glioma+pituitary"]
    assert found["score_glioma+pituitary"][0] == pytest.approx(0.6)


def test_findings_keep_their_probabilities():
    found = external.mapped(
        table(label=["A|B", "No finding", "B"], score_a=[0.9, 0.1, 0.2], score_b=[0.8, 0.3, 0.7]), {"A": ["a"], "B": ["b"]},
        several=True,
    )  # fmt: skip
    assert found[["true_a", "true_b"]].to_numpy().tolist() == [[True, True], [False, False], [False, True]]
    assert found["score_a"].tolist() == [0.9, 0.1, 0.2]


@pytest.fixture
def study(make, tmp_path, monkeypatch):
    """Finished transfers of dtd, isic2017 and random weights to isic2018; their networks also predicted isic2017."""
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    rng, n = np.random.default_rng(0), 40
    labels = np.array(["MEL", "NV", "DF", "NV"] * 10)
    train = make("isic2018", range(n), labels)
    test = make("isic2017", range(100, 100 + n), np.array(["melanoma", "nevus"] * 20))
    for source in ("dtd", "none", "isic2017"):
        folder = paths.run_dir("demo", "transfer", f"{source}--isic2018")
        folder.mkdir(parents=True)
        (folder / results.RECORD).write_text('{"status": "completed"}')
        columns = ["score_MEL", "score_NV", "score_DF"]
        inside = table(label=labels).drop(columns=["source", "target"]).assign(fold=np.arange(n) // 4 % 2 + 1)
        inside[["image_id", "group"]] = train.table[["image_id", "group"]].to_numpy()
        inside[columns] = rng.dirichlet([1, 1, 1], n)
        inside.to_csv(folder / "predictions.csv", index=False)
        outside = pd.concat([test.table[["image_id", "group", "label"]].assign(fold=fold) for fold in (1, 2)])
        outside = outside.assign(test="isic2017", seed=0, mode="fine_tune")
        outside[columns] = rng.dirichlet([1, 1, 1], 2 * n)
        outside.to_csv(folder / "external.csv", index=False)
    return {"isic2018": train, "isic2017": test}


def test_a_pair_that_cannot_be_evaluated_stops_no_other_and_a_source_of_the_collection_takes_no_part(study):
    bad = Pair(train="isic2017", test="isic2018", labels_as={"MEL": ["melanoma"], "NV": ["nevus"]})
    settings = External(profile="demo", pairs=[PAIR, bad], sources=["isic2017"], n_draws=20, margin=0.01)
    found = external.evaluate(settings, study.__getitem__, lambda name: study[name].table)
    assert set(found["drops"]["source"]) == {"dtd", "none"}
    assert found["left_out"]["reason"].tolist() == ["source: pretrained on this collection"]
    assert found["problems"][["train", "test"]].to_numpy().tolist() == [["isic2017", "isic2018"]]
    assert "images are left, without two classes" not in found["problems"]["problem"][0]
    assert found["drops"]["n_images_inside"].eq(30).all()  # without DF
    assert found["aucs"].groupby("source").size().to_dict() == {"dtd": 2, "none": 2}
    panels = figures.slopes(found["drops"], "fine_tune", titles=datasets.titles())
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["inside", "outside"]
    assert {text.get_text() for text in panels[0].texts} == {"Describable Textures (DTD)", "random weights"}
    with pytest.raises(InputError, match="No pair can be evaluated. isic2017 -> isic2018: No finished transfer"):
        external.evaluate(
            settings.model_copy(update={"pairs": [bad]}), study.__getitem__, lambda name: study[name].table
        )
