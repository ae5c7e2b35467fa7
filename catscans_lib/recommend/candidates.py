"""What a user can start from: networks of Keras, weights files, networks of finished profiles, features made elsewhere, nothing.

Networks are loaded when their features are computed, one at a time. Importing this module does not import Keras.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from catscans_lib import paths
from catscans_lib.errors import InputError, unknown
from catscans_lib.networks import registry
from catscans_lib.recommend import Recommend, feature_files, known
from catscans_lib.recommend.known import FAMILIES
from catscans_lib.recommend.own_images import OwnImages
from catscans_lib.transferability import Study

Say = Callable[[str], None]
DEFAULT = ("keras:mobilenet_v2", "keras:densenet121", "keras:resnet50")  # 2.3, 7 and 24 million weights
IN_WEIGHTS = "squeezenet_imagenet_notop.h5"  # weights file that the default takes if it is in WEIGHTS
PUBLISHED = ("imagenet", "notoph5", "efficientnetlite057934424")  # in names of files with ImageNet weights
CACHE = "recommend"  # features of networks that belong to no profile: data/recommend/features
BATCH_PIXELS = 16 * 224**2  # of a batch
EVERY = 15  # seconds between two lines of progress


@dataclass(frozen=True)
class Candidate:
    """One candidate: its unique name, source and family as the evidence calls them, and its network ("": not known).

    `compute` returns the features of the user's images, shape (n_images, n_features), and notes; None: there are none.
    """

    name: str
    source: str
    family: str = ""
    backbone: str = ""
    compute: Callable[[OwnImages, Say], tuple[np.ndarray, list[str]]] | None = None


def chosen(settings: Recommend, studies: Sequence[Study], families: dict[str, str]) -> list[Candidate]:
    """Return the candidates that a user named, and random weights; `families` has the family of each source in the evidence.

    InputError for an unknown name, a missing file, and two candidates of one name.
    """
    found = [_model(one, settings.size_px) for one in settings.models if one != "none"]
    found += [_weights_file(one, settings.size_px, studies) for one in settings.weights]
    found += [_features_file(one) for one in settings.features]
    found += [candidate for study in studies for candidate in _of_profile(study)]
    names = [candidate.name for candidate in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"Two candidates are called '{min(twice)}'. Rename one: a weights file is called as its file.")
    stated = dict(_split(kind, "--kind NAME=KIND") for kind in settings.kinds)
    for name, family in stated.items():
        for what, got, allowed in (("candidate", name, names), ("kind", family, FAMILIES)):
            if got not in allowed:
                raise unknown(what, got, allowed)
    kinds = [stated.get(one.name) or families.get(one.source) or known.family(one.source) for one in found]
    nothing = [Candidate("none (random weights)", "none", "none")] * ("none" in families)
    return [*(replace(one, family=kind) for one, kind in zip(found, kinds, strict=True)), *nothing]


def default() -> dict[str, list[str]]:
    """Return what is ranked by default: ImageNet networks of three sizes, and those whose weights are on this machine."""
    files = []
    for network, package in registry.PACKAGES.items():
        with suppress(InputError):  # not installed
            files.append(f"{network}={package.path()}")
    if (file := Path(os.environ.get("CATSCANS_WEIGHTS", "")) / IN_WEIGHTS).is_file():
        files.append(str(file))
    return {"models": list(DEFAULT), "weights": files}


def _model(given: str, size_px: int) -> Candidate:
    library, _, name = given.partition(":")
    networks = {_plain(one): one for one, info in registry.NETWORKS.items() if info.application}
    if library != "keras" or _plain(name) not in networks:
        raise unknown("model", given, ["none", *(f"keras:{one}" for one in networks.values())])
    network = networks[_plain(name)]
    compute = partial(_by_network, network, "keras", None, size_px)
    return Candidate(f"keras:{network}", "imagenet", "", network, compute)


def _weights_file(given: str, size_px: int, studies: Sequence[Study] = ()) -> Candidate:
    """A weights file; its network is stated, in its name, or that of a profile."""
    networks = {_plain(one): one for one in registry.NETWORKS}
    stated, _, rest = given.partition("=")
    is_stated = bool(rest) and _plain(stated) in networks
    path = Path(rest if is_stated else given).expanduser()
    if not path.is_file():
        raise InputError(f"Weights file '{path}' not found.")
    name, plain = path.name.split(".")[0], _plain(path.name)
    places = [stated] if is_stated else [part for part in networks if part in plain]
    network = networks[_plain(max(places, key=len))] if places else next((study.backbone for study in studies), None)
    if network is None:
        state = f"State it: --weights NETWORK={path}; known: {', '.join(networks.values())}"
        raise InputError(f"'{path.name}' does not tell its network. {state}.")
    is_published = any(part in plain for part in PUBLISHED)
    source = "radimagenet" if "radimagenet" in plain else "imagenet" if is_published else name
    return Candidate(name, source, "", network, partial(_by_network, network, path.name, path.parent, size_px))


def _features_file(given: str) -> Candidate:
    name, file = _split(given, "--features NAME=FILE")
    path = Path(file).expanduser()
    table, notes = feature_files.read(path)

    def compute(images: OwnImages, _: Say) -> tuple[np.ndarray, list[str]]:
        found, more = feature_files.joined(path, table, images.table, images.listing.images)
        return found, [*notes, *more]

    return Candidate(name, name, compute=compute)


def _of_profile(study: Study) -> list[Candidate]:
    from catscans_lib.transferability.source_features import SourceFeatures

    networks = SourceFeatures(study.profile, study.probe)
    size_px = max(study.sizes_px[target] for target in study.targets)

    def compute(source: str, images: OwnImages, _: Say) -> tuple[np.ndarray, list[str]]:
        return networks.features(source, images.at(size_px)), []

    backbones = {source: networks.parameters(source)["backbone"] for source in study.sources}
    return [
        Candidate(f"{study.profile}:{source}", source, "", backbone, partial(compute, source))
        for source, backbone in backbones.items()
    ]


def _by_network(
    network: str, weights: str, folder: Path | None, size_px: int, images: OwnImages, say: Say
) -> tuple[np.ndarray, list[str]]:
    """Features by a network with published weights or those of a file; cached on disk."""
    from catscans_lib.networks import build, features
    from catscans_lib.networks import weights as filling

    size_px = registry.size_for(network, size_px)
    backbone = build.backbone(network, size_px)
    filling.load_weights(backbone, network, weights, folder)
    subset = images.at(size_px)

    def compute() -> np.ndarray:
        n, parts, said = len(subset.rows), [], time.monotonic()
        infer = features.inference(backbone, constants=False)  # with constants: 3.2 GB in place of 1.6
        batch = max(8, min(features.BATCH, BATCH_PIXELS // size_px**2))
        for start in range(0, n, batch):
            pixels = subset.store.images[subset.rows[start : start + batch]].astype("float32")
            parts.append(infer(pixels))
            if time.monotonic() - said > EVERY:
                said = time.monotonic()
                say(f"{min(start + batch, n):,} of {n:,} images")
        return np.concatenate(parts)

    name = f"own_{features.key(backbone, subset.store, subset.rows)}.npy"
    return features.kept(paths.features_dir(CACHE) / name, compute).astype("float64"), []


def _split(given: str, form: str) -> tuple[str, str]:
    name, _, rest = given.partition("=")
    if not name or not rest:
        raise InputError(f"'{given}' is not of the form {form}.")
    return name, rest


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
