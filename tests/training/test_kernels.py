import keras
import numpy as np
import pytest
from keras import layers

from catscans_lib.networks import build
from catscans_lib.networks import frozen as network_frozen
from catscans_lib.training import kernels, loop

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="these operations are TensorFlow's")


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    keras.config.set_dtype_policy("float32")


def images_and_labels(n=24, size=12):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    return (rng.integers(0, 90, (n, size, size, 3)) + 120 * labels[:, None, None, None]).astype("uint8"), labels


def bottleneck():
    """Convolutions of every kind that is computed otherwise: 1x1, 1x1 of stride 2, 3x3; with and without a bias."""
    image = keras.Input((12, 12, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(128, 3, padding="same")(x)))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(128, 1, strides=2)(x)))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(128, 3, padding="same", use_bias=False)(y)))
    x = layers.Add()([layers.BatchNormalization()(layers.Conv2D(128, 1, strides=2)(x)), y])
    x = layers.Conv2D(128, 3, activation="relu", name="biased")(layers.Activation("relu")(x))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x), name="backbone")


def classifier(precision="float32", fast=True, network=bottleneck):
    keras.utils.set_random_seed(0)
    keras.backend.clear_session()  # layers get the same names every time
    keras.config.set_dtype_policy(precision)
    model = build.build(network(), 2, 0.0)
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    if fast:
        kernels.speed_up(model)
    return model


def gradients(model):
    import tensorflow as tf

    images, labels = images_and_labels()

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.binary_crossentropy(labels[:, None], model(images, training=True)))
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    return {
        variable.path: np.asarray(gradient)
        for variable, gradient in zip(model.trainable_variables, step(), strict=True)
    }


def deviation(one, other):
    """Length of the difference over the length, all variables taken as one vector."""
    flat_one, flat_other = (np.concatenate([array.ravel() for array in arrays]) for arrays in (one, other))
    return np.linalg.norm(flat_one - flat_other) / np.linalg.norm(flat_other)


@on_tensorflow
@pytest.mark.parametrize(("size", "padding"), [(1, "SAME"), (3, "SAME"), (3, "VALID"), (5, "SAME")])
def test_the_filter_gradient_is_the_one_of_tensorflow(size, padding):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    inputs, kernel = rng.normal(size=(4, 7, 6, 5)), tf.constant(rng.normal(size=(size, size, 5, 3)))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        outputs = tf.nn.conv2d(inputs, kernel, 1, padding)
        loss = tf.reduce_sum(outputs**3)
    expected = tape.gradient(loss, kernel)
    np.testing.assert_allclose(kernels._kernel_gradient(inputs, 3 * outputs**2, size, padding), expected)


@on_tensorflow
def test_gradients_in_bfloat16_are_as_near_to_float32_as_those_of_plain_keras():
    exact = gradients(classifier(fast=False))
    plain, fast = (gradients(classifier("mixed_bfloat16", fast=fast)) for fast in (False, True))
    assert deviation(plain.values(), exact.values()) < 0.1
    assert deviation(fast.values(), exact.values()) < 1.2 * deviation(plain.values(), exact.values())
    bias = next(path for path in exact if path.endswith("biased/bias"))  # no batch normalisation takes it out again
    np.testing.assert_allclose(fast[bias], exact[bias], atol=0.1 * np.abs(exact[bias]).max())


@on_tensorflow
def test_a_frozen_batch_normalisation_leaves_the_bias_before_it_its_gradient():
    def frozen(precision, fast):
        model = classifier(precision, fast=False)
        for layer in model.get_layer("backbone").layers:
            layer.trainable = not isinstance(layer, layers.BatchNormalization)
        if fast:
            kernels.speed_up(model)
        return {name: value for name, value in gradients(model).items() if "bias" in name}

    exact = frozen("float32", fast=False)
    assert all(np.abs(value).max() > 0 for value in exact.values())
    assert deviation(frozen("mixed_bfloat16", fast=True).values(), exact.values()) < 0.1


@on_tensorflow
@pytest.mark.parametrize("network", [bottleneck, lambda: build.backbone("small_resnet", 12)])
def test_float32_training_follows_plain_keras_with_its_moving_statistics(network):
    images, labels = images_and_labels()
    curves, statistics = [], []
    for fast in (False, True):
        model = classifier(fast=fast, network=network)
        history = model.fit(images, labels, batch_size=8, epochs=3, shuffle=False, verbose=0)
        curves.append(history.history["loss"])
        statistics.append([np.asarray(one) for one in model.non_trainable_variables if "moving" in one.path])
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-3)
    for fast_one, plain_one in zip(statistics[1], statistics[0], strict=True):
        np.testing.assert_allclose(fast_one, plain_one, rtol=5e-3, atol=5e-3)


@on_tensorflow
def test_one_step_moves_the_statistics_and_the_weights_as_keras_does():
    images, labels = images_and_labels()
    after = []
    for fast in (False, True):
        model = classifier(fast=fast, network=lambda: build.backbone("small_resnet", 12))
        model.train_on_batch(images, labels)
        after.append({v.path: np.asarray(v) for v in model.variables})
    for name, value in after[0].items():
        if "seed" not in name:  # Adam's first step is the rate times the sign, so rounding turns tiny gradients round
            assert np.mean(np.abs(after[1][name] - value) > 1e-5 + 1e-5 * np.abs(value)) < 0.01, name


@on_tensorflow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_run_repeated_is_the_same_to_the_last_bit(precision):
    images, labels = images_and_labels()
    weights = []
    for _ in range(2):
        model = classifier(precision)
        model.fit(images, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, two)


@on_tensorflow
def test_a_model_trained_fast_is_saved_as_plain_keras(tmp_path):
    images, labels = images_and_labels()
    model = classifier("mixed_bfloat16")
    model.fit(images, labels, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert type(opened.optimizer) is keras.optimizers.Adam
    assert opened.optimizer.iterations == 3
    for one, two in zip(opened.variables, model.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(opened.predict(images, verbose=0), model.predict(images, verbose=0), atol=0.02)


def lived_in(network):
    """Give batch normalisations other statistics than the fresh ones."""
    rng = np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, shape),
                    rng.normal(0, 0.1, shape),
                    rng.normal(0, 0.1, shape),
                    rng.uniform(0.5, 2, shape),
                ]
            )
    return network


@pytest.mark.parametrize(
    ("name", "size_px", "precision"),
    [
        ("small_resnet", 32, "float32"), ("small_resnet", 31, "float32"), ("small_resnet", 31, "mixed_bfloat16"),
        ("squeezenet", 64, "float32"), ("squeezenet", 64, "mixed_bfloat16"),
        ("resnet50", 64, "mixed_bfloat16"), ("resnet50", 70, "float32"),
        pytest.param("small_resnet", 32, "mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param("resnet50", 64, "float32", marks=pytest.mark.slow),
        pytest.param("resnet50", 70, "mixed_bfloat16", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_features_of_the_frozen_copy_are_those_of_the_backbone(name, size_px, precision):
    tolerance = {"float32": 1e-4, "mixed_bfloat16": 0.03}[precision]
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(0)
    network = lived_in(build.backbone(name, size_px))
    images = np.random.default_rng(0).integers(0, 256, (5, size_px, size_px, 3)).astype("float32")
    expected = network.predict_on_batch(images).astype("float32")
    extract = network_frozen.inference(network)
    assert extract(images).dtype == np.float32
    np.testing.assert_allclose(extract(images), expected, atol=tolerance * np.abs(expected).max())
    np.testing.assert_array_equal(extract(images), extract(images))


@on_tensorflow
def test_the_frozen_copy_has_no_batch_normalisation_and_fewer_pixels_in_a_resnet():
    copy = network_frozen._folded(build.backbone("resnet50", 64))
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in copy.layers)
    assert copy.get_layer("conv2_block3_2_conv").output.shape == (None, 8, 8, 64)  # 16 x 16 in the original
    assert copy.get_layer("conv2_block2_2_conv").output.shape == (None, 16, 16, 64)


def test_the_frozen_copy_stays_as_it_is_while_the_network_goes_on_training():
    images, labels = images_and_labels()
    keras.utils.set_random_seed(0)
    model = loop.compiled(build.build(build.backbone("small_resnet", 12), 2, 0.0))
    network = model.get_layer("backbone")
    extract = network_frozen.inference(network)
    before = extract(images)
    model.fit(images, labels, batch_size=8, epochs=2, verbose=0)
    np.testing.assert_array_equal(extract(images), before)
    assert np.abs(network_frozen.inference(network)(images) - before).max() > 1e-3


def test_a_normalisation_without_a_convolution_before_it_stays():
    image = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="alone")(image)
    x = layers.Conv2D(4, 3, activation="relu")(x)
    x = layers.BatchNormalization(name="after_relu")(x)
    network = lived_in(keras.Model(image, layers.GlobalAveragePooling2D()(x)))
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(
        network_frozen.inference(network)(images), network.predict_on_batch(images), rtol=1e-4, atol=1e-6
    )


def test_a_network_that_uses_a_layer_twice_and_other_backends_compute_as_they_are(monkeypatch):
    image = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same")
    network = keras.Model(image, layers.GlobalAveragePooling2D()(shared(shared(image))))
    images = np.ones((2, 8, 8, 3), "float32")
    np.testing.assert_array_equal(network_frozen.inference(network)(images), network.predict_on_batch(images))
    small = build.backbone("small_resnet", 16)
    expected = small.predict_on_batch(np.ones((2, 16, 16, 3), "float32"))
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    np.testing.assert_array_equal(network_frozen.inference(small)(np.ones((2, 16, 16, 3), "float32")), expected)
