from functools import cache

import keras
import numpy as np
import pandas as pd
import pytest

from catscans_lib import results
from catscans_lib.errors import InputError
from catscans_lib.networks import build
from catscans_lib.statistics.metrics import auc
from catscans_lib.training import Augmentation, Training, backend, batches, callbacks, loop
from catscans_lib.training.checkpoints import Checkpoint

SETTINGS = Training(
    epochs=2, batch_size=8, learning_rate=1e-3, optimiser="adam", schedule="constant", dropout=0.0,
    class_weights="balanced", augmentation=None, validation_share=0.25, checkpoint_minutes=0,
)  # fmt: skip
FLIP = Augmentation(rotation_deg=0.0, shift=0.0, horizontal_flip=True)
MOVE = Augmentation(rotation_deg=10.0, shift=0.1, horizontal_flip=True)


def dark_and_bright(n=32, size=16):
    """Images whose class is their brightness."""
    labels = np.arange(n) % 2
    rng = np.random.default_rng(0)
    return (rng.integers(0, 60, (n, size, size, 3)) + 150 * labels[:, None, None, None]).astype("uint8"), labels


def test_batches_hold_every_row_once_per_epoch_in_an_order_given_by_seed_and_epoch():
    images, labels = dark_and_bright()
    batch, answers = batches.Batches(images, labels, np.arange(32), 32, seed=3)[0]
    np.testing.assert_array_equal(batch.mean(axis=(1, 2, 3)) > 100, answers == 1)  # images and labels belong together
    assert batch.dtype == np.uint8
    images[:, 0, 0, 0] = np.arange(32)
    rows = np.arange(3, 30)

    def order(seed, n_epochs=1):
        drawn = batches.Batches(images, labels, rows, 8, seed=seed)
        drawn.start(n_epochs - 1)
        return np.concatenate([drawn[number][0][:, 0, 0, 0] for number in range(len(drawn))])

    assert sorted(order(0)) == list(rows)
    np.testing.assert_array_equal(order(0), order(0))
    assert not np.array_equal(order(0), order(1))
    assert not np.array_equal(order(0), order(0, n_epochs=2))


def test_an_epoch_of_more_images_than_rows_repeats_them_evenly_each_time_changed_anew():
    images, labels = dark_and_bright()
    rows, move = np.arange(0, 20, 2), Augmentation(rotation_deg=90.0)
    drawn = batches.Batches(images, labels, rows, 8, seed=3, augmentation=move, n_per_epoch=25)
    assert [len(drawn[number][1]) for number in range(len(drawn))] == [8, 8, 8, 1]
    totals = np.zeros(32)
    for epoch in range(40):
        drawn.start(epoch)
        counts = np.bincount(drawn.order, minlength=32)
        assert counts[rows].min() == 2 and counts[rows].max() == 3 and counts.sum() == 25
        totals += counts
    np.testing.assert_allclose(totals[rows] / 40, 2.5, atol=0.3)  # no image counts more in the long run
    maps = np.concatenate([drawn[number][0]["affine"] for number in range(len(drawn))])
    assert len(np.unique(maps, axis=0)) == 25


@pytest.mark.parametrize(
    "reader", [lambda drawn: batches.stream(drawn), batches._Prefetched], ids=["Keras", "own threads"]
)
def test_prefetched_batches_are_those_of_the_current_epoch(reader):
    images, labels = dark_and_bright()
    weights = np.array([1.0, 3.0], "float32")
    drawn = batches.Batches(images, labels, np.arange(30), 8, seed=0, augmentation=MOVE, weights=weights)
    read = reader(drawn)
    for epoch in (2, 3):
        next(iter(read))  # Keras looks at the first before an epoch begins
        drawn.start(epoch)
        arrived = list(read) if hasattr(read, "__iter__") else [read[number] for number in range(len(read))]
        assert len(arrived) == len(drawn) == 4
        for number, parts in enumerate(arrived):
            keras.tree.map_structure(np.testing.assert_array_equal, parts, drawn[number])
    assert not getattr(read, "pending", None)  # nothing is made twice or kept


@pytest.mark.parametrize(
    ("schedule", "warmup", "rates"),
    [
        ("constant", 0, {0: 1.0, 30: 1.0}),
        ("halve_after_20", 0, {19: 1.0, 20: 0.5, 22: 0.125}),
        ("cosine", 0, {0: 1.0, 20: 0.5, 39: 0.00154}),
        ("cosine", 4, {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 4: 1.0, 22: 0.5}),
    ],
)
def test_the_learning_rate_rises_linearly_and_follows_its_schedule(schedule, warmup, rates):
    settings = SETTINGS.model_copy(update={"schedule": schedule, "warmup_epochs": warmup})
    found = {epoch: loop.learning_rate(settings, epoch, epochs=40, start=1.0) for epoch in rates}
    assert found == pytest.approx(rates, abs=1e-5)


def test_balanced_weights_give_every_class_the_same_total():
    labels = np.array([0, 0, 0, 2])
    weights = loop.class_weights(labels, 3)
    assert weights.tolist() == pytest.approx([4 / 6, 0, 2])
    assert weights[labels].sum() == pytest.approx(4)


def of_findings(n=48, size=16):
    """Images whose two findings are the brightness of their halves; a third is rare."""
    rng = np.random.default_rng(0)
    has = np.stack([np.arange(n) % 2 == 0, np.arange(n) % 3 == 0, np.arange(n) == 7], axis=1)
    images = rng.integers(0, 60, (n, size, size, 3))
    images[:, : size // 2] += 150 * has[:, 0, None, None, None]
    images[:, size // 2 :] += 40 * has[:, 1, None, None, None]
    return images.astype("uint8"), has


@pytest.mark.parametrize("balance", ["balanced", "none"])
def test_findings_are_learnt_by_a_unit_each_with_the_loss_of_plain_numpy(tmp_path, balance):
    images, has = of_findings()
    keras.utils.set_random_seed(0)
    settings = SETTINGS.model_copy(
        update={"class_weights": balance, "epochs": 25, "learning_rate": 3e-3, "batch_size": 48}
    )
    model = loop.compiled(build.build(build.backbone("small_resnet", 16), 3, 0.0, multi_label=True), settings)
    rows = np.arange(48)
    train, held_back = rows[12:], rows[:12]
    weights = loop.class_weights(has[train], 3)
    for number, column in enumerate(has[train].T):
        expected = [0.5 / max(np.mean(column == side), 1e-9) if column.any() else 1 - side for side in (0, 1)]
        assert weights[:, number].tolist() == pytest.approx(expected)
    drawn = batches.Batches(images, has, train, 36, weights=weights if balance == "balanced" else None)[0]
    p = np.clip(model.predict_on_batch(drawn[0]), 1e-7, 1 - 1e-7)
    element = -np.where(drawn[1] == 1, np.log(p), np.log(1 - p)) * (drawn[2] if len(drawn) == 3 else 1)
    assert model.evaluate(*drawn[:2], sample_weight=drawn[2] if len(drawn) == 3 else None, verbose=0)[
        0
    ] == pytest.approx(element.mean(), rel=1e-4)
    assert set(np.unique(drawn[1])) == {0, 1} and drawn[1].shape == (36, 3)
    state = Checkpoint.of(tmp_path, "x").state("a")
    curves = loop.fit(model, images, has, train, held_back, settings, n_classes=3, seed=0, state=state)
    last = curves[(curves["epoch"] == 25)].set_index(["split", "metric"])["value"]
    scores = loop.probabilities(loop.predict(model, images, held_back), multi_label=True)
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    bce = -np.where(has[held_back], np.log(clipped), np.log(1 - clipped)).mean()
    assert last["validation", "loss"] == pytest.approx(bce, rel=1e-3) and last["train", "auc"] > 0.9
    assert not np.allclose(scores.sum(axis=1), 1)
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")  # without this library
    np.testing.assert_allclose(opened.predict_on_batch(images[held_back].astype("float32")), scores, atol=1e-5)


def test_the_inner_split_keeps_groups_together_and_uses_every_row_once():
    table = pd.DataFrame({"label": list("ab") * 30, "group": np.repeat(np.arange(20), 3), "sha256": np.arange(60)})
    rows = np.arange(5, 60)
    train, held_back = loop.validation_split(table, rows, 0.25, seed=0)
    assert sorted([*train, *held_back]) == list(rows)
    assert not set(table["group"][train]) & set(table["group"][held_back])
    assert 8 <= len(held_back) <= 20
    everything, nothing = loop.validation_split(table, rows, 0.0, seed=0)
    assert (len(everything), len(nothing)) == (55, 0)


@pytest.mark.parametrize("seed", range(5))
def test_equal_files_of_two_patients_are_on_one_side_of_the_inner_split(seed):
    group, n_files = np.arange(60) // 2, np.arange(60)
    n_files[31::2] = n_files[1:31:2]  # the second image of a patient is also the second of another
    table = pd.DataFrame({"label": list("ab") * 30, "group": group, "sha256": n_files})
    train, held_back = loop.validation_split(table, np.arange(60), 0.2, seed)
    assert len(held_back) and not set(n_files[train]) & set(n_files[held_back])


@pytest.mark.parametrize("share", [0.01, 0.04, 0.96, 1.0])
def test_a_validation_share_that_cannot_be_met_is_refused(share):
    with pytest.raises(ValueError, match="validation_share"):
        Training(**(SETTINGS.model_dump() | {"validation_share": share}))


def state(folder, name="part"):
    return Checkpoint.of(folder, "recipe").state(name)


def made(seed=0, n_classes=2, **options):
    keras.utils.set_random_seed(seed)
    settings = SETTINGS.model_copy(update=options)
    return loop.compiled(build.build(build.backbone("small_resnet", 16), n_classes, 0.2), settings)


@cache
def shared():
    """A compiled network for many tests, and its first weights: tracing its graphs takes seconds."""
    model = made()
    return model, model.get_weights()


def fitted(state, seed=0, model=None, labels=None, n_classes=2, n_train=24, **changes):
    """Train a given model from its weights, else the shared one from its first; images after `n_train` are validation."""
    images, right = dark_and_bright()
    if model is None:
        model, start = shared()
        model.set_weights(start)
    settings = Training(**(SETTINGS.model_dump() | changes))
    history = loop.fit(
        model, images, right if labels is None else labels, np.arange(n_train), np.arange(n_train, 32), settings,
        n_classes=n_classes, seed=seed, state=state,
    )  # fmt: skip
    return model, history


def test_training_learns_and_its_history_is_tidy(tmp_path):
    model, history = fitted(state(tmp_path), epochs=6)
    assert list(history.columns) == ["epoch", "split", "metric", "value"]
    assert set(history["split"]) == {"train", "validation"}
    assert set(history["metric"]) == {"loss", "accuracy", "auc"}
    assert len(history) == 6 * 2 * 3
    loss = history.query("split == 'train' and metric == 'loss'")
    assert loss["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert loss["value"].iloc[-1] < 0.5 * loss["value"].iloc[0]
    images, labels = dark_and_bright()
    scores = loop.probabilities(loop.predict(model, images, np.arange(24, 32)))
    assert scores.shape == (8, 2)
    assert (scores[labels[24:32] == 1, 1].min()) > scores[labels[24:32] == 0, 1].max()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_metrics_of_the_last_epoch_are_those_of_the_trained_network(tmp_path, n_classes):
    images, _ = dark_and_bright()
    labels = np.random.default_rng(0).integers(0, n_classes, 32)  # nothing to learn: AUCs away from 1
    model, history = fitted(
        state(tmp_path),
        model=made(n_classes=n_classes),
        labels=labels,
        n_classes=n_classes,
        n_train=20,
        augmentation=MOVE,
    )
    last = history[history["epoch"] == 2].set_index(["split", "metric"])["value"]
    scores = loop.probabilities(loop.predict(model, images, np.arange(32)))
    names = tuple(str(code) for code in range(n_classes))
    for split, rows in (
        ("validation", np.arange(20, 32)),
        ("train", callbacks.watched(labels, np.arange(20), np.arange(20, 32))[12:]),
    ):
        assert len(rows) == 12
        assert last[split, "auc"] == pytest.approx(auc(labels[rows].astype(str), scores[rows], names))
    loss, accuracy = model.evaluate(images[20:].astype("float32"), labels[20:].astype("float32"), verbose=0)
    assert last["validation", "loss"] == pytest.approx(loss, rel=1e-4)
    assert last["validation", "accuracy"] == pytest.approx(accuracy)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Only TensorFlow traces graphs here.")
def test_training_a_model_many_times_traces_each_graph_once(tmp_path, monkeypatch):
    model, traced = made(), []
    for name in ("train_step", "predict_step"):
        step = getattr(model, name)
        monkeypatch.setattr(model, name, lambda *args, name=name, step=step: traced.append(name) or step(*args))
    for name in ("first", "second"):
        fitted(state(tmp_path, name), model=model)
    assert sorted(traced) == ["predict_step", "train_step"]


def test_without_inner_validation_images_only_training_is_measured(tmp_path):
    _, history = fitted(state(tmp_path), n_train=32, validation_share=0.0)
    assert set(zip(history["split"], history["metric"], strict=True)) == {("train", "loss"), ("train", "accuracy")}


def test_as_many_training_images_as_validation_images_are_watched_spread_evenly_over_the_classes():
    labels = np.array([1, 0, 0, 1, 0, 0, 9, 9, 9])
    rows, validation_rows = np.arange(6), np.array([6, 7, 8])
    # in the order of classes: rows 1, 2, 4, 5 of class 0 and 0, 3 of class 1; every second of them
    assert callbacks.watched(labels, rows, validation_rows).tolist() == [6, 7, 8, 1, 4, 0]
    assert sorted(callbacks.watched(labels, rows[:2], validation_rows)[3:]) == [0, 1]


def test_epoch_metrics_agree_with_a_hand_calculation():
    labels = np.array([0, 1, 1, 0, 0, 1, 1])
    scores = np.array([0.2, 0.8, 0.1, 0.0, 0.3, 0.3, 0.9])  # of class 1
    found = callbacks.epoch_metrics(labels, np.stack([1 - scores, scores], axis=1), 3)
    assert found["val_loss"] == pytest.approx(-(2 * np.log(0.8) + np.log(0.1)) / 3)
    assert found["val_accuracy"] == pytest.approx(2 / 3)
    assert found["val_auc"] == pytest.approx(1 / 2)  # 0.2 lies below 0.8 and above 0.1
    assert found["auc"] == pytest.approx(3.5 / 4)  # a tie of 0.3 with 0.3
    assert np.isnan(callbacks.auc(labels[1:3], np.ones((2, 2)) / 2))  # one class
    assert np.isnan(callbacks.auc(labels, np.full((7, 2), np.nan)))


def test_the_same_seed_gives_the_same_curve_whatever_was_trained_before(tmp_path):
    _, one = fitted(state(tmp_path, "a"), augmentation=FLIP)
    _, two = fitted(state(tmp_path, "b"), augmentation=FLIP)  # the same network: optimiser and dropout have moved on
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(fitted(state(tmp_path, "c"), model=made(), augmentation=FLIP)[1], one)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Only TensorFlow takes several steps in one call.")
@pytest.mark.parametrize("n_train", [7, 24, 31])  # 1, 3 and 4 batches an epoch, of which the last may be smaller
def test_several_steps_in_one_call_are_those_of_one_call_each(tmp_path, n_train):
    found = []
    for steps in (1, 2, 3, loop.STEPS):
        model, _ = shared()
        model.steps_per_execution, model.train_function = steps, None
        model, history = fitted(state(tmp_path, f"{steps}"), n_train=n_train, augmentation=MOVE, dropout=0.2)
        found.append((history, model.get_weights()))
    for history, weights in found[1:]:
        pd.testing.assert_frame_equal(history, found[0][0])
        for one, other in zip(weights, found[0][1], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("patience", [None, 5])
def test_training_resumes_after_its_last_epoch_with_the_same_bits_and_is_not_repeated(tmp_path, monkeypatch, patience):
    options = {"augmentation": MOVE, "schedule": "constant", "patience": patience}
    model, history = fitted(state(tmp_path, "whole"), epochs=4, **options)
    weights = model.get_weights()
    fitted(state(tmp_path, "part"), epochs=2, **options)
    fitted(state(tmp_path, "another"), epochs=1, seed=9)  # other weights and optimiser: all must come from the state
    for _ in range(2):
        again, continued = fitted(state(tmp_path, "part"), epochs=4, **options)
        pd.testing.assert_frame_equal(continued, history)
        for one, two in zip(weights, again.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
        monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("trained again"))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="float16 is for NVIDIA's older GPUs on TensorFlow")
def test_training_in_float16_learns_and_resumes_with_its_loss_scale(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = made()
    keras.config.set_dtype_policy("float32")
    start = model.get_weights()

    def trained(name, **options):
        model.set_weights(start)
        return fitted(state(tmp_path, name), model=model, **options)[1]

    curve = trained("whole", epochs=3)
    losses = curve.query("split == 'train' and metric == 'loss'")["value"]
    assert losses.iloc[-1] < losses.iloc[0]
    assert float(model.optimizer.dynamic_scale) > 0
    trained("part", epochs=1)
    trained("another", epochs=1, seed=9)  # leaves its optimiser and loss scale behind
    pd.testing.assert_frame_equal(trained("part", epochs=3), curve)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow prefetches by itself.")
def test_prefetching_threads_return_the_same_batches_also_after_an_interruption(tmp_path, monkeypatch):
    networks = [made() for _ in range(3)]  # compiled as without a GPU
    _, expected = fitted(state(tmp_path, "alone"), model=networks[0], augmentation=FLIP, epochs=4)
    monkeypatch.setattr(backend, "has_gpu", lambda: True)
    whole, part = state(tmp_path, "whole"), state(tmp_path, "part")
    pd.testing.assert_frame_equal(fitted(whole, model=networks[1], augmentation=FLIP, epochs=4)[1], expected)
    fitted(part, model=networks[2], augmentation=FLIP, epochs=2)
    pd.testing.assert_frame_equal(fitted(part, model=networks[2], augmentation=FLIP, epochs=4)[1], expected)


def test_early_stopping_keeps_the_weights_of_the_best_epoch(tmp_path):
    images, labels = dark_and_bright()
    labels[30:] = 1 - labels[30:]  # two wrong labels: the surer the network, the worse
    model, history = fitted(state(tmp_path), labels=labels, epochs=40, patience=2, learning_rate=1e-3)
    losses = history.query("split == 'validation' and metric == 'loss'")["value"]
    assert len(losses) < 40 and losses.argmin() == len(losses) - 3
    outputs = loop.predict(model, images, np.arange(24, 32))
    loss = keras.losses.binary_crossentropy(labels[24:32, None].astype("float32"), outputs)
    assert float(np.mean(keras.ops.convert_to_numpy(loss))) == pytest.approx(losses.min(), rel=1e-4)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])  # adam: above
def test_every_optimiser_learns(tmp_path, optimiser):
    _, history = fitted(
        state(tmp_path), model=made(optimiser=optimiser), epochs=6, optimiser=optimiser, learning_rate=3e-3
    )
    loss = history.query("split == 'train' and metric == 'loss'")["value"]
    assert loss.iloc[-1] < 0.8 * loss.iloc[0]


def test_weight_decay_shrinks_kernels_and_neither_biases_nor_scales():
    model = made(optimiser="adamw", weight_decay=0.5)
    before = model.get_weights()
    model.optimizer.learning_rate.assign(1.0)
    model.optimizer.apply([keras.ops.zeros(variable.shape) for variable in model.trainable_variables])
    for variable, old, new in zip(model.weights, before, model.get_weights(), strict=True):
        factor = 0.5 if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(new, factor * old, err_msg=variable.path)


def test_the_checkpoint_of_another_recipe_is_deleted(tmp_path):
    checkpoint = Checkpoint.of(tmp_path, "one")
    checkpoint.state("fold-10-0.1").save([], {})
    checkpoint.finish("fold-1", table=pd.DataFrame({"a": [1]}))
    again = Checkpoint.of(tmp_path, "one")
    assert again.state("fold-10-0.1").load() is not None
    assert again.tables("fold-1") is not None
    Checkpoint.of(tmp_path, "two")
    assert Checkpoint.of(tmp_path, "one").tables("fold-1") is None


def test_finishing_a_part_saves_its_tables_exactly_and_deletes_its_states(tmp_path):
    checkpoint = Checkpoint.of(tmp_path, "one")
    checkpoint.state("fold-0.1").save([], {})
    table = pd.DataFrame({"image_id": ["01", "NA"], "score_a": np.random.default_rng(0).random(2), "fold": [1, 2]})
    checkpoint.finish("fold", predictions=table)
    pd.testing.assert_frame_equal(checkpoint.tables("fold")["predictions"], table)
    assert checkpoint.state("fold-0.1").load() is None


def test_a_non_finite_loss_stops_training_and_names_the_rate_and_the_last_finite_loss(tmp_path):
    with pytest.raises(FloatingPointError, match=r"Loss is .* in epoch 1 at learning rate 1e\+30. Lower the rate"):
        fitted(state(tmp_path), learning_rate=1e30)
    fitted(state(tmp_path), epochs=2)
    with pytest.raises(FloatingPointError, match=r"in epoch 3 .*; the last finite one was 0\.\d+. Lower the rate"):
        fitted(state(tmp_path), epochs=3, learning_rate=1e30)


def best_of(tmp_path, *rates):
    images, labels = dark_and_bright()
    settings = SETTINGS.model_copy(update={"learning_rate": rates[0], "other_learning_rates": list(rates[1:])})
    model, start = shared()
    model.set_weights(start)
    curve, table = loop.fit_best(
        model, images, labels, np.arange(24), np.arange(24, 32), settings, n_classes=2, seed=0,
        states=lambda rate: state(tmp_path, f"part-{rate:g}"),
    )  # fmt: skip
    return model.get_weights(), curve, table


def test_inner_validation_images_choose_the_learning_rate_and_the_model_is_the_best_one(tmp_path):
    weights, curves, rates = best_of(tmp_path / "several", 1e-6, 3e-3, 1e-7)
    assert rates["chosen"].tolist() == [False, True, False]
    assert rates["validation_loss"].idxmin() == 1
    alone, same, _ = best_of(tmp_path / "one", 3e-3)
    pd.testing.assert_frame_equal(results.chosen_curves(curves, rates), same)
    slow = curves[curves["learning_rate"] == 1e-7].reset_index(drop=True)  # the curves of the others are kept, too
    pd.testing.assert_frame_equal(slow, best_of(tmp_path / "slow", 1e-7)[1])
    for one, two in zip(weights, alone, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_diverging_learning_rate_is_skipped_unless_all_diverge(tmp_path):
    _, curves, rates = best_of(tmp_path / "some", 1e30, 3e-3)
    assert rates["chosen"].tolist() == [False, True] and np.isnan(rates["validation_loss"][0])
    (last,) = curves[curves["learning_rate"] == 1e30].to_dict("records")  # its curve ends there
    assert (last["epoch"], last["split"], last["metric"]) == (1, "train", "loss")
    assert not np.isfinite(last["value"])
    with pytest.raises(FloatingPointError, match=r"None of the learning rates 1e\+30, 1e\+29 trains"):
        best_of(tmp_path / "all", 1e30, 1e29)


def test_early_stopping_and_a_choice_of_rates_need_inner_validation_images():
    for changes in ({"patience": 2}, {"other_learning_rates": [1e-4]}):
        with pytest.raises(ValueError, match=f"{next(iter(changes))} needs inner validation images"):
            Training(**(SETTINGS.model_dump() | {"validation_share": 0.0} | changes))


def test_frozen_layers_and_frozen_batch_normalisation_do_not_change(tmp_path):
    backbone = build.backbone("small_resnet", 16)
    with pytest.raises(
        InputError, match="No layer 'conv9' to train from; the network has: conv1, conv1_bn, block2_conv1"
    ):
        loop.freeze(backbone, "conv9", "train")
    loop.freeze(backbone, "block3_conv1", "frozen")
    before = {variable.path: keras.ops.convert_to_numpy(variable.value) for variable in backbone.weights}
    fitted(state(tmp_path), model=loop.compiled(build.build(backbone, 2, 0.0)))
    names = [layer.name for layer in backbone.layers]
    for layer in backbone.layers:
        learns = names.index(layer.name) >= names.index("block3_conv1") and not layer.name.endswith("_bn")
        for variable in layer.weights:
            same = np.array_equal(keras.ops.convert_to_numpy(variable.value), before[variable.path])
            assert same != learns, variable.path
