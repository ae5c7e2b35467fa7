import keras
import numpy as np
import pandas as pd
import pytest

from catscans_lib import models, training
from catscans_lib.settings import Augmentation, Training

SETTINGS = Training(
    epochs=2, batch_size=8, learning_rate=1e-3, optimiser="adam", schedule="constant", dropout=0.0,
    class_weights="balanced", augmentation=None, validation_share=0.25,
)  # fmt: skip
FLIP = Augmentation(rotation_deg=0.0, shift=0.0, horizontal_flip=True)
MOVE = Augmentation(rotation_deg=10.0, shift=0.1, horizontal_flip=True)


def dark_and_bright(n=32, size=16):
    """Images whose class is their brightness."""
    labels = np.arange(n) % 2
    rng = np.random.default_rng(0)
    return (rng.integers(0, 60, (n, size, size, 3)) + 150 * labels[:, None, None, None]).astype("uint8"), labels


def test_batches_hold_every_row_once_per_epoch_in_an_order_of_seed_and_epoch():
    images, labels = dark_and_bright()
    images[:, 0, 0, 0] = np.arange(32)
    rows = np.arange(3, 30)

    def order(seed, n_epochs=1):
        batches = training.Batches(images, labels, rows, 8, seed=seed)
        for _ in range(n_epochs - 1):
            batches.on_epoch_end()
        return np.concatenate([batches[number][0][:, 0, 0, 0] for number in range(len(batches))])

    assert sorted(order(0)) == list(rows)
    np.testing.assert_array_equal(order(0), order(0))
    assert not np.array_equal(order(0), order(1))
    assert not np.array_equal(order(0), order(0, n_epochs=2))


def test_images_and_labels_of_a_batch_belong_together():
    images, labels = dark_and_bright()
    batch, answers = training.Batches(images, labels, np.arange(32), 32, seed=3, augmentation=MOVE)[0]
    np.testing.assert_array_equal(batch.mean(axis=(1, 2, 3)) > 100, answers == 1)
    assert batch.dtype == np.float32


def test_a_flip_mirrors_an_image_or_leaves_it():
    images = np.random.default_rng(1).random((40, 6, 6, 3)).astype("float32")
    changed = training.augment(images, FLIP, np.random.default_rng(0))
    same = (changed == images).all(axis=(1, 2, 3))
    mirrored = (changed == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 8 < mirrored.sum() < 32


def test_moving_by_nothing_leaves_the_image_and_moving_keeps_its_range():
    images = np.random.default_rng(1).random((8, 12, 12, 3)).astype("float32")
    still = Augmentation(rotation_deg=1e-9, shift=0.0, horizontal_flip=False)
    np.testing.assert_allclose(training.augment(images, still, np.random.default_rng(0)), images, atol=1e-4)
    moved = training.augment(images, MOVE, np.random.default_rng(0))
    assert moved.shape == images.shape
    assert not np.allclose(moved, images)
    assert moved.min() >= images.min() - 1e-6
    assert moved.max() <= images.max() + 1e-6


@pytest.mark.parametrize(
    ("schedule", "epoch", "rate"),
    [("constant", 30, 1.0), ("halve_after_20", 19, 1.0), ("halve_after_20", 20, 0.5), ("halve_after_20", 22, 0.125),
     ("cosine", 0, 1.0), ("cosine", 20, 0.5)],
)  # fmt: skip
def test_the_learning_rate_follows_its_schedule(schedule, epoch, rate):
    settings = SETTINGS.model_copy(update={"schedule": schedule})
    assert training.learning_rate(settings, epoch, epochs=40, start=1.0) == pytest.approx(rate)


def test_balanced_weights_give_every_class_the_same_total():
    labels = np.array([0, 0, 0, 2])
    weights = training.class_weights(labels, 3)
    assert weights.tolist() == pytest.approx([4 / 6, 0, 2])
    assert weights[labels].sum() == pytest.approx(4)


def test_the_inner_split_keeps_groups_together_and_uses_every_row_once():
    table = pd.DataFrame({"label": list("ab") * 30, "group": np.repeat(np.arange(20), 3)})
    rows = np.arange(5, 60)
    train, held_back = training.validation_split(table, rows, 0.25, seed=0)
    assert sorted([*train, *held_back]) == list(rows)
    assert not set(table["group"][train]) & set(table["group"][held_back])
    assert 8 <= len(held_back) <= 20
    everything, nothing = training.validation_split(table, rows, 0.0, seed=0)
    assert (len(everything), len(nothing)) == (55, 0)


def fitted(seed=0, **changes):
    images, labels = dark_and_bright()
    keras.utils.set_random_seed(seed)
    model = training.compiled(models.build(models.backbone("small_resnet", 16), 2, 0.0))
    settings = SETTINGS.model_copy(update=changes)
    history = training.fit(
        model, images, labels, np.arange(24), np.arange(24, 32), settings, n_classes=2, seed=seed
    )  # fmt: skip
    return model, history


def test_training_learns_and_its_history_is_tidy():
    model, history = fitted(epochs=6)
    assert list(history.columns) == ["epoch", "split", "metric", "value"]
    assert set(history["split"]) == {"train", "validation"}
    assert set(history["metric"]) == {"loss", "accuracy"}
    loss = history.query("split == 'train' and metric == 'loss'")
    assert loss["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert loss["value"].iloc[-1] < 0.5 * loss["value"].iloc[0]
    images, labels = dark_and_bright()
    scores = training.probabilities(training.predict(model, images, np.arange(24, 32)))
    assert scores.shape == (8, 2)
    assert (scores[labels[24:32] == 1, 1].min()) > scores[labels[24:32] == 0, 1].max()


def test_a_run_repeated_with_its_seed_gives_the_same_curve():
    one, two = fitted(augmentation=FLIP)[1], fitted(augmentation=FLIP)[1]
    pd.testing.assert_frame_equal(one, two)


def test_a_second_fit_starts_from_a_fresh_optimiser():
    images, labels = dark_and_bright()
    model = training.compiled(models.build(models.backbone("small_resnet", 16), 2, 0.0))
    start = model.get_weights()
    arguments = (images, labels, np.arange(24), np.arange(24, 32), SETTINGS)
    first = training.fit(model, *arguments, n_classes=2, seed=0)
    model.set_weights(start)
    pd.testing.assert_frame_equal(training.fit(model, *arguments, n_classes=2, seed=0), first)


def test_a_loss_that_is_no_number_ends_training_with_the_rate():
    with pytest.raises(FloatingPointError, match=r"Loss is .* in epoch 1 at learning rate .*Lower the rate"):
        fitted(learning_rate=1e30)


def test_one_sigmoid_output_becomes_two_columns():
    outputs = training.probabilities(np.array([[0.25], [1.0]], "float32"))
    assert outputs.tolist() == [[0.75, 0.25], [0.0, 1.0]]
