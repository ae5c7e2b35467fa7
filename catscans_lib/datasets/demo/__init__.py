"""Generated demo datasets: nine small ones with the keys of the real datasets, whose classes are made of named factors.

In: dataset key, number and size of images, seed. Out: images and their table. No image shows a patient.
The factors that two datasets share are declared here, before any training, so measures of similarity can be tested on them.
No two datasets share a patient, a lesion or a slide: each draws its own looks and names its own groups.
"""

import zlib

import numpy as np
import pandas as pd

from catscans_lib import datasets
from catscans_lib.datasets.demo.scenes import LOOK, SCENES
from catscans_lib.errors import InputError, unknown

Classes = dict[str, tuple[str, ...]]  # factors of each class; the drawing takes nothing else from a label

OUTLINES = ("smooth", "irregular", "polygon", "star", "ring")
TEXTURES = ("mesh", "rough", "streaks", "dots", "cloud", "grating", "nuclei", "plain")
SHAPES = ("irregular", "ring", "polygon=3", "polygon=4", "polygon=6", "star=4", "star=5", "star=6")
FIELDS = ("mesh", "rough", "streaks", "dots", "cloud", "grating", "nuclei", "checks", "rings")


def _named(dataset: str, factors: list[tuple[str, ...]]) -> Classes:
    """Factors for the classes of a dataset's card, in order."""
    return dict(zip(datasets.get(dataset).classes, factors, strict=True))


# A factor may have a degree: "polygon=3" is the factor polygon with three corners, "stain=2" twice as much stain as "stain=1".
CLASSES: dict[str, Classes] = {
    # Every outline with every other texture: 20 classes in which each factor occurs with several others.
    "imagenet": {
        f"{outline} {kind}": (outline, kind) for i, outline in enumerate(OUTLINES) for kind in TEXTURES[i % 2 :: 2]
    },
    "stl10": _named("stl10", [(outline, texture) for outline in OUTLINES for texture in ("mesh", "streaks")]),
    "sti10": _named("sti10", [*((shape, "alone") for shape in SHAPES), ("irregular", "pair"), ("ring", "pair")]),
    "dtd": {texture: (texture,) for texture in FIELDS},
    "isic2018": {
        "MEL": ("irregular", "streaks"),
        "NV": ("smooth", "mesh"),
        "BCC": ("irregular", "dots"),
        "AKIEC": ("smooth", "rough"),
        "BKL": ("irregular", "rough"),
        "DF": ("smooth", "cloud"),
        "VASC": ("smooth", "dots"),
    },
    # An opacity is a smooth blob in half of the images and a rough patch in the others; healthy lungs show sharp vessels.
    "chest": {"NORMAL": ("dots",), "PNEUMONIA": ("smooth", "rough")},
    # Many small round nuclei, or few large irregular ones of the same total area. Outside the centre either class has both.
    "pcam_middle": {"normal": ("dots",), "tumour": ("nuclei", "irregular", "centre")},
    "pcam_small": {"normal": ("dots",), "tumour": ("nuclei", "irregular", "centre")},
    "kimia960": _named(
        "kimia960",
        [(texture, f"stain={level}") for texture in ("dots", "nuclei") for level in (1, 2, 3, 4)]
        + [(texture, f"stain={level}") for texture in ("mesh", "rough", "streaks", "cloud") for level in (1, 2, 3)],
    ),
}
TARGETS = ("isic2018", "chest", "pcam_middle")
# Lesions come in unequal numbers, as in the real dataset; all other classes have equal shares.
SHARES = {"isic2018": {"NV": 0.34, "MEL": 0.18, "BKL": 0.14, "BCC": 0.10, "AKIEC": 0.08, "DF": 0.08, "VASC": 0.08}}
PER_GROUP = {"isic2018": 1.05, "chest": 3, "pcam_middle": 20, "pcam_small": 20}  # images, on average


def exercised(dataset: str) -> tuple[str, ...]:
    """Return the factors that distinguish classes of a dataset, in the order in which the classes name them.

    >>> exercised("chest")
    ('dots', 'smooth', 'rough')
    """
    classes = CLASSES[dataset].values()
    degrees = dict.fromkeys(factor for factors in classes for factor in factors)
    depend = [factor for factor in degrees if not all(factor in factors for factors in classes)]
    return tuple(dict.fromkeys(factor.partition("=")[0] for factor in depend))


def shared_factors() -> pd.DataFrame:
    """Return source, target, share of the target's factors that distinguish classes of both, factors (joined by commas)."""
    rows = []
    for target in TARGETS:
        wanted = exercised(target)
        for source in (name for name in CLASSES if name != target):
            shared = [factor for factor in wanted if factor in exercised(source)]
            rows.append((source, target, len(shared) / len(wanted), ", ".join(shared)))
    return pd.DataFrame(rows, columns=["source", "target", "share", "factors"])


def make(
    name: str, *, n_images: int | None, size_px: int, seed: int = 0
) -> tuple[np.ndarray, pd.DataFrame, tuple[str, ...]]:
    """Draw a dataset of at least one image per class, 16 to 64 px (designed for 32); equal arguments give equal bytes.

    Returns the images, uint8 (n_images, size_px, size_px, 3), their table and the classes. The table has image_id (sorted,
    independent of the label), label, group, split ("").
    """
    if name not in CLASSES:
        raise unknown("demo dataset", name, tuple(CLASSES))
    classes = CLASSES[name]
    if not 16 <= size_px <= 64:
        raise InputError(f"The demo draws images of 16 to 64 pixels; got size_px={size_px} for '{name}'.")
    if n_images is None or n_images < len(classes):
        raise InputError(f"Demo dataset '{name}' needs n_images of at least {len(classes)}; got {n_images}.")
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    label = rng.permutation(_labels(name, n_images))
    group = _groups(name, label)
    look = rng.random((group.max() + 1, LOOK))[group]
    images = np.empty((n_images, size_px, size_px, 3), np.uint8)
    for number, factors in enumerate(classes.values()):
        rows = np.flatnonzero(label == number)
        images[rows] = np.clip(255 * SCENES[name](factors, look[rows], size_px, rng) + 0.5, 0, 255)
    ids = [f"{name}_{number:05d}" for number in range(n_images)]
    groups = [f"{name}_group_{number:05d}" for number in group]
    table = pd.DataFrame({"image_id": ids, "label": np.array(list(classes))[label], "group": groups, "split": ""})
    return images, table, tuple(classes)


def _labels(name: str, n_images: int) -> np.ndarray:
    """Class number of every image, class by class; each class at least once."""
    shares = np.array([SHARES.get(name, {}).get(label, 1 / len(CLASSES[name])) for label in CLASSES[name]])
    edges = np.round(np.cumsum(shares) * (n_images - len(shares))).astype(int)
    return np.repeat(np.arange(len(shares)), np.diff(edges, prepend=0) + 1)


def _groups(name: str, label: np.ndarray) -> np.ndarray:
    """Group number of every image: patients and lesions have one class, slides have images of both."""
    place = np.arange(len(label)) if name.startswith("pcam") else np.argsort(np.argsort(label, kind="stable"))
    group = (place / PER_GROUP.get(name, 1)).astype(int)
    if not name.startswith("pcam"):  # divides groups that would join two classes
        group = pd.factorize(pd.Series(list(zip(label, group, strict=True))))[0]
    return group
