"""What the pretrained networks of a profile's sources compute of images: features, class probabilities, embeddings."""

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import keras
import numpy as np

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.images.store import Subset
from catscans_lib.networks import build, features
from catscans_lib.networks.features import Compute, inference
from catscans_lib.similarity import squared_gradients, task2vec


@cache
def _code() -> str:
    """Return a hash of the code that computes embeddings: those of other code are not read."""
    code = b"".join(Path(module.__file__).read_bytes() for module in (task2vec, squared_gradients))
    return hashlib.sha256(code).hexdigest()[:8]


class SourceFeatures:
    """What the pretrained networks of a profile's sources compute; that of the source `probe` sees all images."""

    def __init__(self, profile: str, probe: str) -> None:
        self.profile, self.probe = profile, probe
        # a network, and what makes a frozen function and squared gradients of it, once, when they are asked for
        self.built: dict[tuple[str, int], tuple[keras.Model, Callable[[], Compute], Callable[[], Callable]]] = {}

    def parameters(self, source: str) -> dict:
        """Return the settings of a source's pretraining; InputError if its run is not done."""
        return results.record(self.profile, f"pretrain/{source}")["parameters"]

    def features(self, source: str, images: Subset) -> np.ndarray:
        """Return pooled features of the source's network, shape (n_images, n_features), float64; cached on disk."""
        size_px = images.store.images.shape[1]
        if (source, size_px) not in self.built:
            # one at a time: memory does not grow with the number of sources
            self.built = {key: network for key, network in self.built.items() if key[0] == self.probe}
            name = self.parameters(source)["backbone"]
            network = build.saved_backbone(self._path(source), name, size_px)
            made = (cache(partial(make, network)) for make in (inference, squared_gradients.squared_gradients))
            self.built[source, size_px] = network, *made
        network, fast, _ = self.built[source, size_px]
        folder = paths.features_dir(self.profile)
        return features.cached(network, images.store, images.rows, folder, fast).astype("float64")

    def fisher(self, images: Subset, found: np.ndarray, seed: int) -> np.ndarray | None:
        """Return the Task2Vec embedding of images by the probe, whose features are `found`; cached; None without TensorFlow."""
        if keras.backend.backend() != "tensorflow":
            return None
        network, _, squares = self.built[self.probe, images.store.images.shape[1]]

        def embedding() -> np.ndarray:
            rng = np.random.default_rng(seed)
            return task2vec.embed(squares(), images.store.images, images.rows, found, images.labels, rng)

        name = f"{images.store.dataset}_{features.key(network, images.store, images.rows)}_fisher{seed}_{_code()}.npy"
        return features.kept(paths.features_dir(self.profile) / name, embedding)

    def head(self, source: str, found: np.ndarray) -> np.ndarray | None:
        """Return the class probabilities of the source's own head for features; None if the source came as weights."""
        if self.parameters(source)["weights"] is not None:
            return None
        model = keras.models.load_model(self._path(source), compile=False)
        layer = model.get_layer("head")
        kernel, bias = (array.astype("float64") for array in layer.get_weights())
        if len(bias) > 1 and layer.activation is keras.activations.sigmoid:
            raise InputError("The source's images may have several findings: its head gives no class probabilities.")
        outputs = found @ kernel + bias
        if outputs.shape[1] == 1:
            outputs = np.hstack([np.zeros_like(outputs), outputs])
        odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def _path(self, source: str) -> Path:
        return paths.run_dir(self.profile, "pretrain", source) / "model.keras"
