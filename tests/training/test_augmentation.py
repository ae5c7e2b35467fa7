import keras
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import map_coordinates
from scipy.stats import beta
from test_fine_tuning import fitted, linear, settings
from test_loop import dark_and_bright

from catscans_lib.training import Augmentation, augmentation, loop
from catscans_lib.training.batches import Batches

NAMES = augmentation.COLUMNS
ALL = Augmentation(
    rotation_deg=30.0, shift=0.1, zoom=0.3, horizontal_flip=True, vertical_flip=True, quarter_turns=True, brightness=0.2,
    contrast=0.3, stain=0.2, erasing=0.5,
)  # fmt: skip
TURNS = Augmentation(horizontal_flip=True, vertical_flip=True, quarter_turns=True)


def noise(n=12, size=20):
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def applied(images, how, drawn):
    found = augmentation.changes(how, None, drawn, images.shape[1])
    tensors = {key: keras.ops.convert_to_tensor(value) for key, value in found.items()}
    return keras.ops.convert_to_numpy(augmentation.apply(keras.ops.convert_to_tensor(images), tensors))


def reference(image, how, drawn):
    """One image in float64, step by step as the settings describe it."""
    u, size = dict(zip(NAMES, drawn.astype("float64"), strict=True)), len(image)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle, zoom = np.deg2rad(how.rotation_deg) * (2 * u["angle"] - 1), 1 + how.zoom * (2 * u["zoom"] - 1)
    right, down = (size * how.shift * (2 * u[name] - 1) for name in ("right", "down"))
    read_x = (np.cos(angle) * x - np.sin(angle) * y) / zoom + right + (size - 1) / 2
    read_y = (np.sin(angle) * x + np.cos(angle) * y) / zoom + down + (size - 1) / 2
    pixels = np.stack(
        [map_coordinates(image[..., k].astype("float64"), [read_y, read_x], order=1, mode="nearest") for k in range(3)],
        -1,
    )
    pixels = np.rot90(pixels, -int(4 * u["quarter"]) if how.quarter_turns else 0)
    pixels = pixels[:, ::-1] if how.horizontal_flip and u["mirror"] < 0.5 else pixels
    pixels = pixels[::-1] if how.vertical_flip and u["flip"] < 0.5 else pixels
    if how.stain:
        amounts = np.linalg.solve(augmentation.STAINS.T, -np.log((pixels.reshape(-1, 3) + 1) / 256).T)
        for number, name in enumerate("hed"):
            amounts[number] *= 1 + how.stain * (2 * u[name] - 1)
            amounts[number] += how.stain * (2 * u[f"plus_{name}"] - 1)
        pixels = (256 * np.exp(-augmentation.STAINS.T @ amounts) - 1).T.reshape(pixels.shape)
    if how.contrast:
        pixels = pixels.mean() + (pixels - pixels.mean()) * (1 + how.contrast * (2 * u["contrast"] - 1))
    pixels = np.clip(pixels + 255 * how.brightness * (2 * u["brightness"] - 1), 0, 255)
    if how.erasing and u["erases"] < how.erasing:
        area, aspect = size**2 * (0.02 + 0.38 * u["area"]), 0.3 * (1 / 0.09) ** u["aspect"]
        height, width = (int(min(size, max(1, np.rint(np.sqrt(one))))) for one in (area * aspect, area / aspect))
        top, left = int(u["top"] * (size - height + 1)), int(u["left"] * (size - width + 1))
        pixels = pixels.copy()
        pixels[top : top + height, left : left + width] = pixels.mean(axis=(0, 1))
    return pixels


SINGLE = [
    {"rotation_deg": 180.0}, {"shift": 0.3}, {"zoom": 0.5}, {"horizontal_flip": True}, {"vertical_flip": True},
    {"quarter_turns": True}, {"brightness": 0.5}, {"contrast": 0.5}, {"stain": 0.3}, {"erasing": 0.7},
]  # fmt: skip


@pytest.mark.parametrize("how", [*(Augmentation(**one) for one in SINGLE), ALL, TURNS], ids=str)
def test_every_change_equals_a_numpy_reference_to_a_ten_thousandth_of_the_range(how):
    images = noise()
    drawn = augmentation.draws(0, 3, len(images))
    expected = np.stack([reference(image, how, row) for image, row in zip(images, drawn, strict=True)])
    found = applied(images, how, drawn)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found / 255, expected / 255, atol=1e-4)
    assert (found != images).any(axis=(1, 2, 3)).sum() >= 3  # something happens


def test_flips_and_quarter_turns_alone_are_exact_and_all_eight_occur():
    image = noise(1)
    turned = [np.rot90(image[0], quarter)[:, :: 1 - 2 * mirrored] for quarter in range(4) for mirrored in range(2)]
    found = applied(np.repeat(image, 60, axis=0), TURNS, augmentation.draws(0, 0, 60))
    which = [[number for number, one in enumerate(turned) if np.array_equal(one, each)] for each in found]
    assert all(len(one) == 1 for one in which)
    assert len({one[0] for one in which}) == 8


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX knows the size of every batch")
@pytest.mark.parametrize("how", [TURNS, ALL], ids=["turns", "all"])
def test_a_graph_that_does_not_know_the_size_of_a_batch_gives_the_same_images(how):
    import tensorflow as tf

    images, drawn = noise(5), augmentation.draws(0, 0, 5)
    found = {name: tf.constant(value) for name, value in augmentation.changes(how, None, drawn, 20).items()}
    of_any_size = tf.nest.map_structure(lambda one: tf.TensorSpec((None, *one.shape[1:]), one.dtype), found)
    signature = [tf.TensorSpec((None, 20, 20, 3), tf.uint8), of_any_size]
    traced = tf.function(augmentation.apply, input_signature=signature)
    np.testing.assert_allclose(traced(tf.constant(images), found), applied(images, how, drawn), atol=1e-3)


def test_an_image_is_changed_by_seed_epoch_and_row_whatever_else_is_in_its_batch_and_in_the_store():
    images, rows = noise(12), np.arange(12)

    def epoch(number, batch_size, seed=0, rows=rows, stored=images):
        drawn = Batches(stored, np.arange(len(stored)), rows, batch_size, augmentation=ALL, seed=seed)
        drawn.start(number)
        found = {}
        for batch, labels in (drawn[at] for at in range(len(drawn))):
            how = {key: keras.ops.convert_to_tensor(value) for key, value in batch.items()}
            changed = keras.ops.convert_to_numpy(augmentation.apply(how.pop("image"), how))
            found |= dict(zip(labels.astype(int), changed, strict=True))
        return found

    whole = epoch(2, 12)
    for other in (epoch(2, 5), epoch(2, 3, rows=rows[4:]), epoch(2, 12, stored=np.concatenate([images, images]))):
        for row, image in other.items():
            np.testing.assert_allclose(image, whole[row], atol=1e-3)
    for other in (epoch(1, 12), epoch(2, 12, seed=1)):
        assert not any(np.allclose(other[row], whole[row], atol=1) for row in rows)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("mixup", [None, 0.4])
def test_the_training_step_sees_changed_and_mixed_images_and_nothing_else_does(tmp_path, n_classes, mixup):
    images, _ = dark_and_bright()
    labels = np.random.default_rng(0).integers(0, n_classes, 32)
    how = settings(augmentation=ALL, mixup=mixup, class_weights="balanced", learning_rate=1e-9)
    model = loop.compiled(linear(n_classes, "sigmoid" if n_classes == 2 else "softmax"), how)
    history = fitted(tmp_path, model, how, labels, n_classes).set_index("metric")["value"]

    drawn, order = augmentation.draws(0, 0, 32), Batches(images, labels, np.arange(32), 32, seed=0).order
    seen = np.stack([reference(images[row], ALL, drawn[row]) for row in order])
    share = beta.ppf(drawn[order, NAMES.index("mixup")], mixup, mixup) if mixup else np.ones(32)
    other = np.roll(np.arange(32), 1)
    mixed = share[:, None, None, None] * seen + (1 - share)[:, None, None, None] * seen[other]
    scores = loop.probabilities(model.predict(mixed.astype("float32"), verbose=0))
    weights = loop.class_weights(labels, n_classes)[labels[order]]
    loss = [-np.log(scores[np.arange(32), each]) for each in (labels[order], labels[order][other])]
    expected = share * weights * loss[0] + (1 - share) * weights[other] * loss[1]
    assert history["loss"] == pytest.approx(expected.mean(), rel=1e-3)
    larger = np.where(share * weights > (1 - share) * weights[other], labels[order], labels[order][other])
    assert history["accuracy"] == pytest.approx((scores.argmax(axis=1) == larger).mean())
    plain = model.predict(images.astype("float32"), verbose=0)
    np.testing.assert_array_equal(loop.predict(model, images, np.arange(32)), plain)


def test_killed_training_with_every_change_and_mixup_ends_with_the_same_bits(tmp_path):
    how = settings(augmentation=ALL, mixup=0.2, epochs=4, batch_size=12, learning_rate=1e-2)
    model = loop.compiled(linear(), how)
    start = model.get_weights()

    def trained(name, epochs):
        model.set_weights(start)
        return fitted(tmp_path / name, model, how, epochs=epochs), model.get_weights()

    (whole, weights), _, _ = trained("whole", 4), trained("part", 2), trained("another", 1)
    continued, again = trained("part", 4)
    pd.testing.assert_frame_equal(continued, whole)
    for one, two in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, two)
