import keras
import numpy as np
import pandas as pd
import pytest
import saved_networks
from published import shorten

from catscans_lib.errors import InputError
from catscans_lib.inspection import grad_cam
from catscans_lib.inspection.networks import SourceNetworks
from catscans_lib.networks import build


def by_tape(model, images, classes):
    """Grad-CAM by definition: the last maps, weighted by the mean over places of the gradient of the class's logit."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the reference is TensorFlow's automatic differentiation")
    import tensorflow as tf

    backbone, head = model.get_layer("backbone"), model.get_layer("head")
    at = max(n for n, layer in enumerate(backbone.layers) if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    maps = keras.Model(backbone.input, backbone.layers[at].input)(images.astype("float32"))
    head.activation = keras.activations.linear
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logits = maps
        for layer in [*backbone.layers[at:], head]:
            logits = layer(logits)
        logits = tf.concat([-logits, logits], axis=1) if model.output_shape[1] == 1 else logits
        score = tf.gather(logits, classes, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    return tf.reduce_sum(weights * maps, axis=3).numpy() * maps.shape[1] * maps.shape[2]


@pytest.mark.parametrize(
    ("name", "size", "n_classes"),
    [("small_resnet", 32, 2), ("squeezenet", 64, 7), ("convnext_tiny", 64, 3)],
)
def test_the_closed_form_equals_automatic_differentiation(name, size, n_classes, monkeypatch):
    shorten(monkeypatch)
    keras.utils.set_random_seed(0)
    model = saved_networks.randomised(build.build(build.backbone(name, size), n_classes, 0.5), 0)
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3)).astype("uint8")
    classes = np.array([0, 1, n_classes - 1])
    found = grad_cam.heat(model, images, classes)
    expected = by_tape(model, images, classes)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_the_mean_heat_is_the_logit_minus_the_bias_with_opposite_signs_for_two_classes():
    model = saved_networks.network(0)
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype("uint8")
    probability = np.asarray(model(images.astype("float32")), "float64")[:, 0]
    bias = model.get_layer("head").get_weights()[1][0]
    positive, negative = (grad_cam.heat(model, images, np.full(4, code)) for code in (1, 0))
    logit = np.log(probability / (1 - probability))
    np.testing.assert_allclose(positive.mean(axis=(1, 2)) + bias, logit, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(negative, -positive)


def scored(rows):
    table = pd.DataFrame(rows, columns=["source", "image_id", "label", "score_a", "score_b"])
    return table.assign(fold=3, seed=0)


def test_examples_have_the_highest_mean_scores_alternating_classes_right_ones_first():
    means = {  # label, mean score of class a
        "i1": ("a", 0.95), "i2": ("a", 0.90), "i3": ("b", 0.30), "i4": ("b", 0.20), "i5": ("a", 0.10), "i6": ("b", 0.60),
    }  # fmt: skip
    rows = [
        (source, image_id, label, score + shift, 1 - score - shift)
        for image_id, (label, score) in means.items()
        for source, shift in (("dtd", 0.04), ("none", -0.04))
    ]
    shown = grad_cam.examples(scored(rows), 3)
    assert shown["image_id"].tolist() == ["i1", "i4", "i2", "i5", "i6"]
    assert shown["right"].tolist() == [True, True, True, False, False]
    assert shown["predicted"].tolist() == ["a", "b", "a", "b", "a"]
    assert shown["score"].tolist() == pytest.approx([0.95, 0.80, 0.90, 0.90, 0.60])


def test_held_out_predictions_are_those_of_the_last_fold_and_the_last_seed(images):
    networks = SourceNetworks("demo", "chest", ["dtd", "none"])
    predictions = grad_cam.held_out(networks)
    assert set(predictions["fold"]) == {3}
    assert set(predictions["seed"]) == {7}
    assert predictions.groupby("source")["image_id"].apply(list).to_dict() == {
        source: [f"i{number:02d}" for number in range(2, 24, 3)] for source in ("dtd", "none")
    }


def test_every_network_explains_its_own_answer_on_held_out_images(images):
    networks = SourceNetworks("demo", "chest", ["dtd", "none"])
    predictions = grad_cam.held_out(networks)
    shown = predictions[predictions["source"] == "dtd"].iloc[[5, 1]]
    heats, answers = grad_cam.of_sources(networks, images, shown, predictions)
    assert answers["image_id"].tolist() == ["i17", "i05"] * 2
    for place, answer in enumerate(answers.itertuples()):
        saved = predictions.query("source == @answer.source and image_id == @answer.image_id").iloc[0]
        code = int(saved["score_PNEUMONIA"] > 0.5)
        assert answer.predicted == saved_networks.CLASSES[code]
        assert answer.score == pytest.approx(saved[f"score_{answer.predicted}"], abs=1e-4)
        assert answer.right == (answer.label == answer.predicted)
        model = keras.models.load_model(networks.model_path(answer.source))
        row = int(answer.image_id[1:])
        by_hand = grad_cam.heat(model, images.images[row : row + 1], np.array([code]))[0]
        np.testing.assert_allclose(heats[answer.source][place % 2], by_hand, rtol=1e-4, atol=1e-5)
        hot = (by_hand >= by_hand.max() / 2).mean() if by_hand.max() > 0 else 0
        assert answer.hot_share == pytest.approx(hot)
    with pytest.raises(InputError, match="The saved network of transfer/dtd--chest gives other scores"):
        grad_cam.of_sources(networks, images, shown, predictions.assign(score_NORMAL=0.5, score_PNEUMONIA=0.5))
