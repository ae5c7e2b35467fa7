"""Pretraining and the ways to use it, on tiny images whose class is their brightness."""

import keras
import numpy as np
import pandas as pd
import pytest

from catscans_lib.errors import InputError
from catscans_lib.evaluation import tables
from catscans_lib.experiment import Pretrain, Transfer, pretrain, transfer
from catscans_lib.images import folds, store
from catscans_lib.training import loop
from catscans_lib.training.checkpoints import Checkpoint

COMMON = {
    "profile": "demo", "source": "dtd", "backbone": "small_resnet", "precision": "float32", "size_px": 16, "epochs": 3,
    "batch_size": 16, "learning_rate": 3e-3, "optimiser": "adam", "schedule": "cosine", "dropout": 0.0,
    "class_weights": "balanced", "augmentation": None, "validation_share": 0.2,
}  # fmt: skip
PRETRAIN = Pretrain(**COMMON, seed=0, exclude=["chest"], weights=None)
TRANSFER = Transfer(
    **COMMON, target="chest", modes=["fine_tune", "linear_probe", "fine_tune_long"], seeds=[0], long_epochs=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def brightness(tmp_path_factory):
    """An image store of 60 images in three classes, two images a group."""
    labels = np.repeat(np.arange(3), 20)
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 50, (60, 16, 16, 3)) + 90 * labels[:, None, None, None]).astype("uint8")
    table = pd.DataFrame({"image_id": [f"i{number:02d}" for number in range(60)], "split": ""})
    table["label"] = np.array(["c", "a", "b"])[labels]
    table["group"] = [f"g{number // 2}" for number in range(60)]
    path = tmp_path_factory.mktemp("store") / "chest_16px.h5"
    store.write_arrays(path, images, table, ("a", "b", "c"), dataset="chest", size_px=16)
    return store.open_store(path)


@pytest.fixture(scope="module")
def target(brightness):
    fold = np.arange(60) // 2 % 3 + 1
    return transfer.target_table(brightness, brightness.table[["image_id", "group", "label"]].assign(fold=fold))


@pytest.fixture(scope="module")
def saved(brightness, tmp_path_factory):
    """The saved model of a network pretrained on the same images, and its history."""
    checkpoint = Checkpoint.of(tmp_path_factory.mktemp("pretrain"), "recipe")
    model, history = pretrain.pretrain(brightness, np.arange(60), PRETRAIN, checkpoint)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return path, history


@pytest.fixture(scope="module")
def everything(brightness, target, saved, tmp_path_factory):
    checkpoint = Checkpoint.of(tmp_path_factory.mktemp("run"), "recipe")
    tables = transfer.all_modes(TRANSFER, saved[0], brightness, target, checkpoint=checkpoint)
    return tables["predictions"], tables["history"], transfer.saved_model(checkpoint)


def test_networks_of_all_folds_are_kept_on_request_and_predict_their_held_out_images(
    brightness, target, saved, tmp_path
):
    checkpoint = Checkpoint.of(tmp_path, "recipe")
    settings = TRANSFER.model_copy(update={"modes": ["fine_tune"], "keep_networks": True, "epochs": 1})
    tables = transfer.all_modes(settings, saved[0], brightness, target, checkpoint=checkpoint)
    kept = sorted((tmp_path / "recipe/networks").iterdir())
    assert [path.name for path in kept] == ["seed0-fold1.keras", "seed0-fold2.keras", "seed0-fold3.keras"]
    network = keras.models.load_model(kept[1])
    part = tables["predictions"].query("fold == 2")
    rows = np.flatnonzero(brightness.table["image_id"].isin(part["image_id"]))
    scores = loop.probabilities(loop.predict(network, brightness.images, rows))
    np.testing.assert_allclose(part.sort_values("image_id").filter(regex="^score_"), scores, atol=1e-5)
    assert kept[1].stat().st_size < 0.5 * transfer.saved_model(checkpoint).stat().st_size  # without the optimiser


def test_groups_with_an_image_that_a_target_also_contains_are_excluded_and_counted(brightness):
    elsewhere = pd.DataFrame(
        {"image_id": brightness.table["image_id"][:3], "group": list("xyz"),
         "sha256": [*brightness.table["sha256"][[5, 8]], "other"]}
    )  # fmt: skip
    rows, counts = pretrain.usable_rows(brightness, {"chest": elsewhere, "isic2018": elsewhere.iloc[2:]})
    assert sorted(set(range(60)) - set(rows)) == [4, 5, 8, 9]
    assert counts.to_dict("list") == {"target": ["chest", "isic2018"], "n_removed": [4, 0], "n_groups": [2, 0]}


def test_an_equal_id_or_group_excludes_a_group_if_source_and_target_are_parts_of_one_dataset(brightness):
    target = pd.DataFrame({"image_id": ["i03", "new"], "sha256": ["another", "coding"], "group": ["unknown", "g5"]})
    rows, counts = pretrain.usable_rows(brightness, {"chest": target, "dtd": target}, ["chest"])
    assert sorted(set(range(60)) - set(rows)) == [2, 3, 10, 11]
    assert counts.to_dict("list") == {"target": ["chest", "dtd"], "n_removed": [4, 0], "n_groups": [2, 0]}


@pytest.mark.parametrize("seed", range(8))
def test_no_slide_and_no_file_of_a_fold_table_is_left_in_a_source_of_common_origin(seed):
    rng = np.random.default_rng(seed)
    pool = pd.DataFrame({"image_id": [f"{number:03d}" for number in range(400)], "label": rng.choice(["a", "b"], 400)})
    pool = pool.assign(group=rng.integers(0, 50, 400).astype(str), sha256=pool["image_id"])
    pool.loc[:9, "sha256"] = pool["sha256"][390:].to_numpy()  # files under two slides
    source, target = (pool.iloc[np.sort(rng.permutation(400)[:n])].reset_index(drop=True) for n in (200, 150))
    held_out = folds.make(target, n_folds=3, seed=seed, max_images=30)
    held_out = target[target["image_id"].isin(held_out["image_id"])]
    rows, counts = pretrain.usable_rows(
        store.ImageStore(None, source, ("a", "b"), "pcam_small", 96, ""), {"pcam_middle": held_out}, ["pcam_middle"]
    )
    assert counts["n_removed"][0] == 200 - len(rows) > 0
    for column in ("group", "sha256", "image_id"):
        assert not set(source[column].iloc[rows]) & set(held_out[column])


def test_a_source_that_would_lose_a_class_or_has_unknown_slides_is_refused(brightness):
    target = pd.DataFrame({"image_id": "new", "sha256": "new", "group": [f"g{number}" for number in range(10)]})
    with pytest.raises(InputError, match=r"Source 'chest' has no image of class 'c' left .* dtd \(20 images\)"):
        pretrain.usable_rows(brightness, {"dtd": target}, ["dtd"])
    with pytest.raises(InputError, match="the slide of images of 'pcam_middle' is not known"):
        pretrain.usable_rows(brightness, {"pcam_middle": target.assign(group="new")}, ["pcam_middle"])


def test_published_weights_that_saw_a_target_are_refused_and_their_head_repeats_with_the_seed(monkeypatch):
    monkeypatch.setattr(pretrain.weights, "load_weights", lambda *_: "nowhere")
    settings = PRETRAIN.model_copy(update={"weights": "keras"})
    heads = [
        pretrain.from_weights(settings.model_copy(update={"seed": seed}))[0].layers[-1].get_weights()[0]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(heads[0], heads[1])
    assert not np.array_equal(heads[0], heads[2])
    with pytest.raises(InputError, match="weights of 'imagenet' were trained on images of the target 'sti10'"):
        pretrain.from_weights(settings.model_copy(update={"source": "imagenet", "exclude": ["chest", "sti10"]}))


def test_the_curves_of_pretraining_are_marked_as_such(saved):
    _, history = saved
    assert history["mode"].unique().tolist() == ["pretrain"]
    assert history.query("split == 'train'")["epoch"].max() == 3


def test_the_target_table_has_the_row_and_the_class_of_every_image(brightness, target):
    assert (brightness.table["image_id"].to_numpy()[target["row"]] == target["image_id"]).all()
    assert [brightness.classes[code] for code in brightness.labels[target["row"]]] == target["label"].tolist()


def test_every_image_is_predicted_once_per_mode_in_its_own_fold(everything, target):
    predictions, *_ = everything
    for _, part in predictions.groupby("mode"):
        assert sorted(part["image_id"]) == sorted(target["image_id"])
        merged = part.merge(target, on="image_id", suffixes=("", "_saved"))
        assert (merged["fold"] == merged["fold_saved"]).all()
        assert (merged["label"] == merged["label_saved"]).all()
    scores = predictions[["score_a", "score_b", "score_c"]].to_numpy()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


def test_every_mode_classifies_held_out_images_of_an_easy_task(everything):
    aucs = tables.aucs(everything[0].assign(source="dtd", target="chest"), {("dtd", "chest"): "r"})
    assert set(aucs["mode"]) == {"fine_tune", "linear_probe", "fine_tune_long"}
    assert (aucs["auc"] > 0.9).all(), aucs


def test_the_history_has_every_epoch_of_every_fold_and_the_longer_budget_differs_in_epochs_alone(everything):
    history = everything[1]
    assert list(history.columns) == transfer.HISTORY
    epochs = history.groupby(["mode", "fold"])["epoch"].max().unstack()
    assert epochs.loc["fine_tune"].tolist() == [3, 3, 3]
    assert epochs.loc["fine_tune_long"].tolist() == [4, 4, 4]
    assert history.groupby("mode")["learning_rate"].first().to_dict() == {"fine_tune": 3e-3, "fine_tune_long": 3e-3}


def test_the_history_has_the_curves_of_all_rates_and_a_table_says_which_was_chosen(brightness, target, tmp_path):
    settings = TRANSFER.model_copy(update={"modes": ["fine_tune"], "epochs": 2, "other_learning_rates": [1e30, 1e-6]})
    checkpoint = Checkpoint.of(tmp_path, "recipe")
    tables = transfer.all_modes(settings, None, brightness, target, checkpoint=checkpoint)
    history, rates = tables["history"], tables["learning_rates"]
    assert rates.groupby("learning_rate")["chosen"].sum().to_dict() == {1e-6: 0, 3e-3: 3, 1e30: 0}
    n_epochs = history[history["split"] == "train"].groupby(["learning_rate", "metric"])["epoch"].max()
    assert n_epochs.to_dict() == {
        (1e30, "loss"): 1, **{(rate, metric): 2 for rate in (1e-6, 3e-3) for metric in ("accuracy", "auc", "loss")}
    }  # fmt: skip


def test_the_saved_network_is_that_of_the_last_fold_at_the_common_budget(everything, brightness, target):
    import keras

    predictions, _, path = everything
    last = predictions.query("mode == 'fine_tune' and fold == 3")
    rows = target.set_index("image_id").loc[last["image_id"], "row"].to_numpy()
    outputs = keras.models.load_model(path).predict(brightness.images[rows].astype("float32"), verbose=0)
    np.testing.assert_allclose(outputs, last[["score_a", "score_b", "score_c"]], atol=1e-5)


def test_no_fold_sees_its_held_out_images_or_their_groups(brightness, target, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        transfer.loop, "fit",
        lambda model, images, labels, rows, inner, *_, **__: seen.append({*rows, *inner}) or pd.DataFrame(
            [(1, "train", "loss", 0.0)], columns=["epoch", "split", "metric", "value"]),
    )  # fmt: skip
    backbone = transfer.source_backbone(TRANSFER, 0, None)
    transfer.fine_tune(backbone, brightness, target, TRANSFER, seed=0, checkpoint=Checkpoint.of(tmp_path, "recipe"))
    for fold, rows in enumerate(seen, start=1):
        held_out = target[target["fold"] == fold]
        assert rows == set(target["row"]) - set(held_out["row"])
        assert not set(brightness.table["group"].iloc[list(rows)]) & set(held_out["group"])


@pytest.fixture
def with_20(brightness, target, saved, tmp_path):
    """Settings, and the tables of a transfer with 20 of 40 training images and two seeds."""
    changes = {"modes": ["fine_tune", "linear_probe"], "n_images": 20, "seeds": [0, 1]}
    settings = TRANSFER.model_copy(update=changes)
    checkpoint = Checkpoint.of(tmp_path, "recipe")
    tables = transfer.all_modes(settings, saved[0], brightness, target, checkpoint=checkpoint)
    assert not transfer.saved_model(checkpoint).exists()  # nothing reads that of a variant
    return settings, tables


def test_fewer_training_images_are_judged_on_the_same_held_out_images(with_20, everything, brightness, target):
    settings, tables = with_20
    one, keys = tables["predictions"].query("seed == 0"), ["mode", "image_id", "fold", "label"]
    whole = everything[0].query("mode != 'fine_tune_long'")
    assert one[keys].sort_values(keys).to_numpy().tolist() == whole[keys].sort_values(keys).to_numpy().tolist()
    drawn = transfer.training_images(target, brightness, settings)
    assert set(drawn.groupby(["fold", "seed"]).size()) == {20}
    seeds = [set(part["image_id"]) for _, part in drawn.query("fold == 1").groupby("seed")]
    assert seeds[0] != seeds[1]
    held_out = target.set_index("image_id")["fold"].loc[drawn["image_id"]].to_numpy()
    assert (held_out != drawn["fold"]).all()
    assert len(transfer.training_images(target, brightness, TRANSFER)) == 3 * 40


def test_fewer_images_are_trained_on_with_as_many_updates_and_none_held_back(
    brightness, target, saved, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        transfer.loop, "fit",
        lambda model, images, labels, rows, inner, *_, n_per_epoch, **__: seen.append((rows, inner, n_per_epoch))
        or pd.DataFrame([(1, "train", "loss", 0.0)], columns=["epoch", "split", "metric", "value"]),
    )  # fmt: skip
    for number, changes in enumerate(({}, {"n_images": 10}, {"n_images": 10, "patience": 2}, {"n_per_class": 4})):
        settings = TRANSFER.model_copy(update={"modes": ["fine_tune"], **changes})
        checkpoint = Checkpoint.of(tmp_path / str(number), "recipe")
        transfer.all_modes(settings, saved[0], brightness, target[target["fold"] < 3], checkpoint=checkpoint)
    sizes = [(len(rows), len(inner), n) for rows, inner, n in seen]
    assert sizes[0] == (16, 4, 16) and sizes[2] == (10, 0, 20) and sizes[6] == (12, 0, 20)
    n_kept, n_inner, n_per_epoch = sizes[4]
    assert n_kept + n_inner == 10 and n_inner > 0 and n_per_epoch == 2 * n_kept


def test_a_size_that_a_fold_does_not_have_stops_its_run_and_names_target_and_fold(brightness, target, tmp_path):
    settings = TRANSFER.model_copy(update={"n_images": 41})
    with pytest.raises(InputError, match="Target 'chest', fold 1: n_images is 41, and there are 40 training images"):
        transfer.all_modes(settings, None, brightness, target, checkpoint=Checkpoint.of(tmp_path, "recipe"))


def probe(features, label, group, sha256=None, monkeypatch=None):
    """Predictions of a linear probe on given features, in two folds by the parity of the group."""
    images = pd.DataFrame({"image_id": [f"{n:03d}" for n in range(len(label))], "label": label, "group": group})
    images = images.assign(sha256=images["image_id"] if sha256 is None else sha256)
    opened = store.ImageStore(None, images, tuple(sorted(set(label))), "chest", 16, "")
    target = transfer.target_table(opened, images.assign(fold=images["group"] % 2 + 1))
    monkeypatch.setattr(transfer.features, "cached", lambda *_: np.asarray(features, "float32"))
    return transfer.linear_probe(None, opened, target, TRANSFER, seed=0)["predictions"]


def test_a_class_that_an_inner_fold_lacks_does_not_choose_the_strongest_penalty(monkeypatch):
    """Class b has one group in each fold, so two of three inner folds lack it, and one cannot be trained on it."""
    rng, label, group = np.random.default_rng(0), np.array(list("aaab") * 30), np.arange(120) // 2
    group[label == "b"] = np.where(np.arange(30) % 2, 60, 61)
    scores = probe(rng.normal(0, 1, (120, 3)) + 8.0 * (label == "b")[:, None], label, group, monkeypatch=monkeypatch)
    assert scores.loc[scores["label"] == "b", "score_b"].min() > 0.8  # at C = 1e-4 about .5
    assert np.isfinite(scores[["score_a", "score_b"]].to_numpy()).all()


def test_the_penalty_is_chosen_on_folds_that_keep_equal_files_together(monkeypatch):
    """Labels are noise and every image has a copy under another patient: only a strong penalty does no harm."""
    rng = np.random.default_rng(1)
    features, label = np.repeat(rng.normal(0, 1, (80, 40)), 2, axis=0), np.repeat(np.array(list("aabb") * 20), 2)
    group = np.arange(160).reshape(-1, 2, 2).transpose(0, 2, 1).ravel()  # both copies in one outer fold
    scores = probe(features, label, group, np.repeat(np.arange(80), 2).astype(str), monkeypatch)
    assert (scores["score_a"] - 0.5).abs().max() < 0.2


def test_a_probe_without_finite_features_or_with_one_group_is_refused(monkeypatch):
    label, group = np.array(list("ab") * 20), np.arange(40)
    with pytest.raises(InputError, match="no finite features for 40 of 40 images"):
        probe(np.full((40, 2), np.nan), label, group, monkeypatch=monkeypatch)
    with pytest.raises(InputError, match="fold 1: too few groups to choose its penalty"):
        probe(np.zeros((40, 2)), label, group // 2 % 2, monkeypatch=monkeypatch)


@pytest.mark.parametrize("long_epochs", [None, 2, 3])
def test_the_longer_budget_must_be_longer(long_epochs):
    with pytest.raises(ValueError, match=rf"fine_tune_long needs long_epochs above epochs \(3\).* is {long_epochs}"):
        Transfer(**(TRANSFER.model_dump() | {"long_epochs": long_epochs}))
    Transfer(**(TRANSFER.model_dump() | {"long_epochs": long_epochs, "modes": ["fine_tune"]}))


def test_random_weights_depend_on_the_seed_and_pretrained_ones_do_not(saved):
    def first(seed, path):
        return transfer.source_backbone(TRANSFER, seed, path).get_weights()[0]

    assert not np.array_equal(first(0, None), first(1, None))
    np.testing.assert_array_equal(first(0, saved[0]), first(1, saved[0]))


def test_ways_to_keep_the_source_do_not_touch_random_weights(brightness, target, saved, tmp_path, monkeypatch):
    changes = {"modes": ["fine_tune"], "long_epochs": None, "epochs": 2, "layer_decay": 0.5, "unfreeze_epochs": 1}
    kept = []
    monkeypatch.setattr(transfer.fine_tuning, "keep_source", lambda *given: kept.append(given) or [])
    for source in ("none", "dtd"):
        how = TRANSFER.model_copy(update=changes | {"source": source})
        path = saved[0] if source == "dtd" else None
        checkpoint = Checkpoint.of(tmp_path / source, "recipe")
        transfer.all_modes(how, path, brightness, target[target["fold"] < 3], checkpoint=checkpoint)
        assert len(kept) == (source == "dtd")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A store of 30 images of two of the classes, and one class that the target lacks."""
    number = np.arange(30)
    images = np.full((30, 16, 16, 3), 110, "uint8") + (number % 2 * 90).astype("uint8")[:, None, None, None]
    table = pd.DataFrame({"image_id": [f"x{one:02d}" for one in number], "split": "", "group": number.astype(str)})
    table["label"] = np.where(number == 29, "new", np.where(number % 2 == 0, "a", "b"))
    path = tmp_path_factory.mktemp("store") / "isic2017_16px.h5"
    store.write_arrays(path, images, table, ("a", "b", "new"), dataset="isic2017", size_px=16)
    return store.open_store(path)


def test_the_networks_of_every_fold_predict_all_images_of_another_collection_and_the_run_itself_stays_the_same(
    brightness, target, saved, everything, elsewhere, tmp_path
):
    checkpoint = Checkpoint.of(tmp_path, "recipe")
    settings = TRANSFER.model_copy(update={"external": ["isic2017"]})
    named = {"checkpoint": checkpoint, "external": {"isic2017": elsewhere}}
    tables = transfer.all_modes(settings, saved[0], brightness, target, **named)
    pd.testing.assert_frame_equal(tables["predictions"], everything[0])
    outside = tables["external"]
    keys = ["test", "image_id", "group", "fold", "seed", "mode", "label"]
    assert list(outside) == [*keys, "score_a", "score_b", "score_c"]
    counts = outside.groupby(["mode", "fold"])["image_id"].nunique()
    assert counts.to_dict() == {(mode, fold): 30 for mode in ("fine_tune", "linear_probe") for fold in (1, 2, 3)}
    network = keras.models.load_model(transfer.saved_model(checkpoint))
    last = outside.query("mode == 'fine_tune' and fold == 3").filter(regex="^score_")
    expected = loop.probabilities(loop.predict(network, elsewhere.images, np.arange(30)))
    np.testing.assert_allclose(last, expected, atol=1e-5)
    probed = outside.query("mode == 'linear_probe' and label == 'a'")
    assert (probed["score_a"] > probed["score_b"]).all()


def test_a_collection_with_several_findings_per_image_cannot_test_a_target_with_one_class(brightness, target, tmp_path):
    other = store.ImageStore(None, brightness.table, ("a", "b"), "own", 16, "", findings=np.zeros((60, 2), bool))
    named = {"checkpoint": Checkpoint.of(tmp_path, "recipe"), "external": {"own": other}}
    with pytest.raises(InputError, match="image of 'own' has several findings, one of 'chest' one class"):
        transfer.all_modes(TRANSFER, None, brightness, target, **named)
