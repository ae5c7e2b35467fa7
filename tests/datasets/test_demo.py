"""The demo: repeatable, shaped like the real datasets, true to its table of factors, and not solved by colour."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny import ROOT

from catscans_lib import datasets
from catscans_lib.datasets import demo
from catscans_lib.datasets.demo import draw
from catscans_lib.errors import InputError
from catscans_lib.experiment import pretrain
from catscans_lib.images import store

PROFILE = yaml.safe_load((ROOT / "params/demo.yaml").read_text())


def make(name, n_images=120, size_px=32, **more):
    return demo.make(name, n_images=n_images, size_px=size_px, **more)


@pytest.mark.parametrize("name", demo.TARGETS)
def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(name):
    one, again, other = (hashlib.sha256(make(name, seed=seed)[0].tobytes()).hexdigest() for seed in (0, 0, 1))
    assert one == again != other


def test_the_table_of_shared_factors_is_the_declared_one():
    """Counted by hand from the classes: isic2018 has 7 factors, chest 3, pcam_middle 4."""
    shares = demo.shared_factors().set_index(["source", "target"])["share"].unstack()
    expected = pd.DataFrame(
        {
            "imagenet": (7 / 7, 3 / 3, 3 / 4),
            "stl10": (4 / 7, 1 / 3, 1 / 4),
            "sti10": (1 / 7, 0 / 3, 1 / 4),
            "dtd": (5 / 7, 2 / 3, 2 / 4),
            "isic2018": (np.nan, 3 / 3, 2 / 4),
            "chest": (3 / 7, np.nan, 1 / 4),
            "pcam_middle": (2 / 7, 1 / 3, np.nan),
            "pcam_small": (2 / 7, 1 / 3, 4 / 4),
            "kimia960": (5 / 7, 2 / 3, 2 / 4),
        },
        index=["isic2018", "chest", "pcam_middle"],
    ).T
    pd.testing.assert_frame_equal(shares, expected, check_like=True, check_names=False)


def test_factors_of_all_classes_do_not_count_and_degrees_count_as_their_factor():
    assert "plain" not in demo.exercised("sti10")
    assert demo.exercised("kimia960").count("stain") == 1
    assert demo.exercised("pcam_small") == ("dots", "nuclei", "irregular", "centre")


def test_patients_and_lesions_have_one_class_slides_have_both_and_lesions_are_as_unequal_as_declared():
    for name, n_groups in (("isic2018", (285, 300)), ("chest", (100, 102)), ("pcam_middle", (15, 15))):
        _, table, _ = make(name, 300)
        groups = table.groupby("group")["label"]
        assert n_groups[0] <= groups.ngroups <= n_groups[1]
        assert set(groups.nunique()) == ({2} if name == "pcam_middle" else {1})
    assert make("isic2018", 300)[1].groupby("group").size().max() == 2
    assert make("dtd")[1]["group"].is_unique
    shares = make("isic2018", 1500)[1]["label"].value_counts(normalize=True)
    assert shares["NV"] == pytest.approx(0.34, abs=0.01)
    assert shares["VASC"] == pytest.approx(0.08, abs=0.01)


def test_no_source_of_the_profile_has_a_patient_lesion_slide_or_image_of_a_target():
    tables = {}
    for name in PROFILE["datasets"]:
        images, table, _ = make(name, n_images=150, size_px=16)
        tables[name] = table.assign(sha256=[hashlib.sha256(image.tobytes()).hexdigest() for image in images])
    assert set(tables["pcam_small"]["group"]) & set(tables["pcam_middle"]["group"]) == set()
    for source in PROFILE["pretrain"]["sources"]:
        targets = {name: tables[name] for name in PROFILE["transfer"]["targets"] if name != source}
        opened = store.ImageStore(None, tables[source], tuple(demo.CLASSES[source]), source, 16, "")
        rows, counts = pretrain.usable_rows(opened, targets, datasets.parts_of_the_same(source, targets))
        assert len(rows) == 150 and counts["n_removed"].sum() == 0
        for target in targets.values():
            assert not set(tables[source]["group"]) & set(target["group"])


def colour_statistics(images):
    """Mean, spread and percentiles of every channel and of the grey value, shape (n, 28)."""
    pixels = images.reshape(len(images), -1, 3).astype(float)
    pixels = np.concatenate([pixels, pixels.mean(axis=2, keepdims=True)], axis=2)
    parts = [pixels.mean(axis=1), pixels.std(axis=1), *np.percentile(pixels, (5, 25, 50, 75, 95), axis=1)]
    return np.hstack(parts)


def cross_validated_auc(features, table, classes):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=0).split(features, table["label"], table["group"])
    scores = cross_val_predict(model, features, table["label"], cv=list(folds), method="predict_proba")
    scores = pd.DataFrame(scores, columns=sorted(classes))
    if len(classes) == 2:
        return roc_auc_score(table["label"] == classes[1], scores[classes[1]])
    return roc_auc_score(table["label"], scores, multi_class="ovr", average="weighted", labels=sorted(classes))


@pytest.mark.parametrize("name", demo.TARGETS)
def test_colour_alone_does_not_solve_a_target(name):
    images, table, classes = make(name, PROFILE["datasets"][name]["n_images"])
    assert cross_validated_auc(colour_statistics(images), table, classes) < 0.75


def test_textures_differ_in_their_spectrum_but_not_in_their_colour():
    images, table, classes = make("dtd", 600)
    grey = images.mean(axis=3)
    spectrum = np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True)))
    frequency = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32))
    rings = [spectrum[:, (frequency >= low) & (frequency < low + 0.04)].mean(axis=1) for low in np.arange(0, 0.6, 0.04)]
    profile = np.log(np.stack(rings, axis=1) + 1)
    assert cross_validated_auc(profile - profile.mean(axis=1, keepdims=True), table, classes) > 0.85
    assert cross_validated_auc(colour_statistics(images), table, classes) < 0.65


def test_every_outline_of_one_radius_covers_about_the_same_area():
    rng = np.random.default_rng(0)
    areas = {
        kind: draw.outline(kind, draw.coordinates(60, 48), np.full(60, 0.5), rng).mean()
        for kind in ("smooth", "irregular", "polygon", "star", "ring")
    }
    assert max(areas.values()) < 1.25 * min(areas.values()), areas


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "isic"}, "Unknown demo dataset 'isic'; known: chest"),
        ({"name": "dtd", "n_images": None}, "needs n_images of at least 9; got None"),
        ({"name": "imagenet", "n_images": 19}, "needs n_images of at least 20"),
        ({"name": "dtd", "size_px": 112}, "draws images of 16 to 64 pixels; got size_px=112 for 'dtd'"),
    ],
)
def test_bad_arguments_are_refused_with_the_known_range(arguments, message):
    with pytest.raises(InputError, match=message):
        make(**arguments)
