import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from published import assert_same_weights

from catscans_lib.networks import build
from catscans_lib.training import kernels

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="these operations are TensorFlow's")


def images_and_labels(n=24, size=8):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    return (rng.integers(0, 90, (n, size, size, 3)) + 120 * labels[:, None, None, None]).astype("uint8"), labels


def backbone():
    """Convolutions of 1x1 and 3x3 pixels, with and without bias, activation, and batch normalisation after them."""
    image = keras.Input((8, 8, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(x)))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 1)(x)))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(y)))
    x = layers.Add()([layers.BatchNormalization()(layers.Conv2D(16, 1, strides=2)(x)), layers.MaxPooling2D()(y)])
    x = layers.Conv2D(16, 3, activation="relu")(layers.Activation("relu")(x))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x), name="backbone")


def classifier(precision="float32", fast=True):
    keras.utils.set_random_seed(0)
    keras.backend.clear_session()  # the same layer names every time
    keras.config.set_dtype_policy(precision)
    model = build.build(backbone(), 2, 0.0)
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    if fast:
        kernels.speed_up(model)
    return model


def test_float32_training_follows_plain_keras_in_weights_statistics_and_losses():
    images, labels = images_and_labels()
    plain, fast = classifier(fast=False), classifier()
    for model in (plain, fast):
        model.train_on_batch(images, labels)
    for one, other in zip(plain.variables, fast.variables, strict=True):
        cancelled = one.path.startswith("conv2d") and one.path.endswith("bias")  # by the batch normalisation after it
        if "seed" not in one.path and not cancelled:  # Adam's first step is rate * sign: rounding flips tiny gradients
            far = np.abs(np.asarray(other) - one) > 1e-5 + 1e-5 * np.abs(np.asarray(one))
            assert np.mean(far) < 0.01, one.path
    losses = [model.fit(images, labels, 8, 3, shuffle=False, verbose=0).history["loss"] for model in (plain, fast)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)
    for one, other in zip(plain.non_trainable_variables, fast.non_trainable_variables, strict=True):
        if "moving" in one.path:
            np.testing.assert_allclose(other, one, rtol=5e-3, atol=5e-3)


def test_training_twice_gives_the_same_bits_and_a_plain_keras_model(tmp_path):
    images, labels = images_and_labels()
    models = [classifier("mixed_bfloat16") for _ in range(2)]
    for model in models:
        model.fit(images, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert_same_weights(*models)
    models[0].save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert type(opened.optimizer) is keras.optimizers.Adam
    assert opened.optimizer.iterations == 6
    for one, other in zip(opened.variables, models[0].variables, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(opened.predict(images, verbose=0), models[0].predict(images, verbose=0), atol=0.02)


def convolution(**changed):
    settings = {"filters": 130, "kernel_size": 3, "padding": "same", "dtype": "mixed_bfloat16"} | changed
    image = keras.Input((*settings.pop("pixels", (5, 6)), settings.pop("channels", 128)), dtype="float32")
    layer = layers.Conv2D(**settings)
    model = keras.Model(image, layer(image))
    model.compile("adam", "mse")
    kernels.speed_up(model)
    return layer


def test_the_gradient_of_a_filter_as_products_is_that_of_the_convolution_in_float32():
    layer, rng = convolution(), np.random.default_rng(0)
    assert "convolution_op" in vars(layer)
    plain = layers.Conv2D(130, 3, padding="same", dtype="float32")
    plain.build((None, 5, 6, 128))
    for one in (layer, plain):
        one.set_weights([tf.cast(tf.cast(weights, "bfloat16"), "float32") for weights in layer.get_weights()])
    inputs, upstream = (tf.cast(rng.normal(size=(4, 5, 6, n)), "bfloat16") for n in (128, 130))
    found = []
    for one, kind in ((layer, "bfloat16"), (plain, "float32")):
        given = tf.cast(inputs, kind)
        with tf.GradientTape() as tape:
            tape.watch(given)
            outputs = one(given)
        wanted = [given, one.kernel.value]
        found.append([outputs, *tape.gradient(outputs, wanted, tf.cast(upstream, kind))])
    for ours, theirs in zip(*found, strict=True):
        ours, theirs = np.asarray(tf.cast(ours, "float32")), np.asarray(theirs)
        assert np.abs(ours - theirs).max() < 0.01 * np.abs(theirs).max()


@pytest.mark.parametrize(
    "changed",
    [
        {"dtype": "float32"}, {"pixels": (8, 8)}, {"pixels": (None, None)}, {"channels": 64}, {"filters": 64}, {"groups": 2},
        {"strides": 2}, {"dilation_rate": 2}, {"padding": "valid"}, {"kernel_size": 5}, {"kernel_size": 1},
    ],
)  # fmt: skip
def test_other_convolutions_keep_their_gradient(changed):
    assert "convolution_op" not in vars(convolution(**changed))
