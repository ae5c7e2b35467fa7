import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from test_loop import SETTINGS, dark_and_bright, state

from catscans_lib.networks import build
from catscans_lib.training import KeepSource, Training, fine_tuning, loop

PLAIN = {
    "optimiser": "sgd", "momentum": 0.0, "class_weights": "none", "validation_share": 0.0, "epochs": 1, "batch_size": 32,
    "learning_rate": 0.5,
}  # fmt: skip


def settings(kind=Training, **changes):
    return kind(**(SETTINGS.model_dump() | PLAIN | changes))


def linear(n_classes=2, kind="sigmoid"):
    """A network without a state of its own: what it does to a batch in training is what it predicts."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    features = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, layers.Dense(n_classes if n_classes > 2 else 1, activation=kind, name="head")(features))


def fitted(folder, model, how, labels=None, n_classes=2, **options):
    images, right = dark_and_bright()
    labels = right if labels is None else labels
    return loop.fit(
        model, images, labels, np.arange(32), np.arange(0), how, n_classes=n_classes, seed=0, state=state(folder), **options
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "moves"),
    [
        ({}, [0.5 * 30, 0.5 * 30]),
        ({"momentum": 0.8}, [0.5 * 30, 0.5 * (0.8 * 30 + 30)]),
        ({"clip_norm": 5.0}, [0.5 * 30 * 5 / 50, 0.5 * 30 * 5 / 50]),  # the norm of all gradients, 30 and 40, is 50
        ({"clip_norm": 500.0}, [0.5 * 30, 0.5 * 30]),
        # Adam: m / sqrt(v) of equal gradients, both without bias, is 1 whatever beta_1 is; the second gradient is 0 here
        ({"optimiser": "adam", "momentum": 0.5}, [0.5, 0.5 * (0.25 / 0.75) / np.sqrt(0.000999 / (1 - 0.999**2))]),
    ],
)
def test_steps_follow_the_formula_of_momentum_and_clipping(changes, moves):
    model = loop.compiled(linear(), settings(**changes))
    model.optimizer.learning_rate.assign(0.5)
    kernel = model.trainable_variables[0]
    for number, move in enumerate(moves):
        before = keras.ops.convert_to_numpy(kernel.value)
        value = 0.0 if number and "optimiser" in changes else 1.0
        gradients = [np.array([[30.0], [0], [0]], "float32") * value, np.array([40.0], "float32") * value]
        model.optimizer.apply([keras.ops.convert_to_tensor(one) for one in gradients])
        change = before - keras.ops.convert_to_numpy(kernel.value)
        np.testing.assert_allclose(change, [[move], [0], [0]], rtol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_label_smoothing_moves_the_labels_of_the_loss_towards_all_classes(tmp_path, n_classes):
    images, _ = dark_and_bright()
    labels = np.random.default_rng(0).integers(0, n_classes, 32)
    how = settings(label_smoothing=0.3, learning_rate=1e-9)
    model = loop.compiled(linear(n_classes, "sigmoid" if n_classes == 2 else "softmax"), how)
    scores = loop.probabilities(loop.predict(model, images, np.arange(32)))
    history = fitted(tmp_path, model, how, labels, n_classes).set_index("metric")["value"]
    shares = 0.7 * np.eye(n_classes)[labels] + 0.3 / n_classes
    assert history["loss"] == pytest.approx(-(shares * np.log(scores)).sum(axis=1).mean(), rel=1e-4)
    assert history["accuracy"] == pytest.approx((scores.argmax(axis=1) == labels).mean())


def network(**changes):
    """A classifier, its settings and its callbacks."""
    keras.utils.set_random_seed(0)
    how = settings(KeepSource, **changes)
    model = loop.compiled(build.build(build.backbone("small_resnet", 16), 2, 0.0), how)
    return model, how, fine_tuning.keep_source(model, how)


def test_blocks_are_the_layers_at_one_resolution_counted_from_the_head():
    found = fine_tuning.blocks(build.backbone("squeezenet", 64))
    names = {
        f"fire{number}_squeeze1x1": block for number, block in zip(range(2, 10), [3, 3, 2, 2, 1, 1, 1, 1], strict=True)
    }
    assert {name: found[name] for name in ["conv1", *names]} == {"conv1": 4, **names}
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, strides=2, name="before")(image)
    gate = layers.Conv2D(4, 1, name="gate")(layers.GlobalAveragePooling2D(keepdims=True)(x))  # squeeze and excitation
    x = layers.Conv2D(4, 3, strides=2, name="after")(layers.Conv2D(4, 1, name="same")(layers.Multiply()([x, gate])))
    assert fine_tuning.blocks(keras.Model(image, x)) == {"before": 2, "gate": 2, "same": 2, "after": 1}


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_every_block_learns_and_decays_at_its_own_rate(tmp_path, optimiser):
    changes = {"optimiser": optimiser, "weight_decay": 0.5 if optimiser == "adamw" else 0.0}

    def moved(**more):
        model, _, callbacks = network(**changes, **more)
        model.optimizer.learning_rate.assign(0.1)
        for callback in callbacks:
            callback.on_epoch_begin(0)
        before = model.get_weights()
        model.optimizer.apply([keras.ops.ones(variable.shape) for variable in model.trainable_variables])
        changed = [new - old for old, new in zip(before, model.get_weights(), strict=True)]
        return dict(zip([variable.path for variable in model.weights], changed, strict=True))

    plain, scaled = moved(), moved(layer_decay=0.5)
    blocks = fine_tuning.blocks(build.backbone("small_resnet", 16))
    assert sorted(set(blocks.values())) == [1, 2, 3, 4]
    for path, change in plain.items():
        share = 0.5 ** blocks.get(path.split("/")[-2], 0)
        np.testing.assert_allclose(scaled[path], share * change, rtol=1e-3, atol=1e-6, err_msg=path)


def test_unfreezing_lets_one_more_block_learn_after_every_so_many_epochs(tmp_path):
    blocks = fine_tuning.blocks(build.backbone("small_resnet", 16))
    model, how, callbacks = network(epochs=6, unfreeze_epochs=2, learning_rate=1e-3, batch_size=16)
    before = model.get_weights()
    for epochs in (2, 3, 5):  # each continues the one before
        fitted(tmp_path, model, how, epochs=epochs, keep_source=callbacks)
        changed = {
            blocks.get(one.path.split("/")[-2], 0)
            for one, old, new in zip(model.weights, before, model.get_weights(), strict=True)
            if "moving" not in one.path and not np.array_equal(old, new)
        }
        assert changed == set(range((epochs - 1) // 2 + 1))


def test_l2_sp_penalises_the_distance_from_the_source_and_the_size_of_the_head(tmp_path):
    model, how, _ = network(l2_sp={"alpha": 0.2, "beta": 0.1})
    head = model.get_layer("head")
    assert sum(map(float, model.losses)) == pytest.approx(0.05 * np.square(head.get_weights()[0]).sum(), rel=1e-5)
    kernel = next(one for one in model.trainable_variables if one.path.endswith("block2_conv1/kernel"))
    kernel.assign(kernel.value + 0.5)
    head.set_weights([np.zeros_like(one) for one in head.get_weights()])
    assert sum(map(float, model.losses)) == pytest.approx(0.1 * 0.25 * np.prod(kernel.shape), rel=1e-5)
    fitted(tmp_path, model, how)  # the gradient reaches the network
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert opened.losses == []
    np.testing.assert_array_equal(opened.get_weights()[0], model.get_weights()[0])


def test_killed_fine_tuning_with_everything_on_ends_with_the_same_bits(tmp_path):
    changes = {
        "epochs": 4, "batch_size": 8, "optimiser": "adamw", "weight_decay": 0.01, "momentum": 0.8, "clip_norm": 1.0,
        "label_smoothing": 0.1, "layer_decay": 0.4, "unfreeze_epochs": 1, "l2_sp": {"alpha": 0.1, "beta": 0.01},
        "learning_rate": 1e-3,
    }  # fmt: skip
    model, how, callbacks = network(**changes)
    start = model.get_weights()

    def trained(name, epochs):
        model.set_weights(start)
        return fitted(tmp_path / name, model, how, epochs=epochs, keep_source=callbacks)

    whole = trained("whole", 4)
    weights = model.get_weights()
    trained("part", 2)
    trained("another", 1)
    pd.testing.assert_frame_equal(trained("part", 4), whole)
    for one, two in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_transformer_has_its_own_blocks_from_the_last_to_what_comes_before_the_first():
    backbone = build.backbone("small_vit", 16)
    found = fine_tuning.blocks(backbone)
    assert set(found) == {layer.name for layer in backbone.layers if layer.weights}
    assert (found["norm"], found["block4_dense2"], found["block4_norm1"]) == (1, 1, 1)
    assert (found["block1_attention"], found["patches"], found["positions"]) == (4, 5, 5)
    loop.freeze(backbone, "block3_norm1", "frozen")
    learns = {layer.name for layer in backbone.layers if layer.weights and layer.trainable}
    assert learns == {name for name, block in found.items() if block < 3}
