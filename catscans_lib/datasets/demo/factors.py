"""What the classes of the demo world are made of, written down before any network was trained: the ground truth.

Every class is a set of named factors, and the drawings take nothing else from a label. A factor is *exercised* by a
dataset when it tells some of its classes from others. A source shares it with a target when both exercise it; how much
the target gets from that in the end is for the sweep to find out.
"""

import pandas as pd

from catscans_lib import datasets

Classes = dict[str, tuple[str, ...]]

OUTLINES = ("smooth", "irregular", "polygon", "star", "ring")
TEXTURES = ("mesh", "rough", "streaks", "dots", "cloud", "grating", "nuclei", "plain")
SHAPES = ("irregular", "ring", "polygon=3", "polygon=4", "polygon=6", "star=4", "star=5", "star=6")
FIELDS = ("mesh", "rough", "streaks", "dots", "cloud", "grating", "nuclei", "checks", "rings")


def _objects() -> Classes:
    """Every outline with every other texture: 20 classes in which each factor occurs with several others."""
    pairs = [(i, k) for i in range(len(OUTLINES)) for k in range(len(TEXTURES)) if (i + k) % 2 == 0]
    return {f"{OUTLINES[i]} {TEXTURES[k]}": (OUTLINES[i], TEXTURES[k]) for i, k in pairs}


def _named(dataset: str, factors: list[tuple[str, ...]]) -> Classes:
    """Give the classes of a dataset's card their factors, in order."""
    return dict(zip(datasets.get(dataset).classes, factors, strict=True))


# A factor may have a degree: "polygon=3" is the factor polygon, with three corners; "stain=2" twice as much stain.
CLASSES: dict[str, Classes] = {
    "imagenet": _objects(),
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
    # An opacity is soft (in half of the images a smooth blob, in half a rough patch); healthy lungs show sharp vessels.
    "chest": {"NORMAL": ("dots",), "PNEUMONIA": ("smooth", "rough")},
    # Many small round nuclei, or few large irregular ones over the same area; outside the centre either kind in either class.
    "pcam_middle": {"normal": ("dots",), "tumour": ("nuclei", "irregular", "centre")},
    "pcam_small": {"normal": ("dots",), "tumour": ("nuclei", "irregular", "centre")},
    "kimia960": _named(
        "kimia960",
        [(texture, f"stain={level}") for texture in ("dots", "nuclei") for level in (1, 2, 3, 4)]
        + [(texture, f"stain={level}") for texture in ("mesh", "rough", "streaks", "cloud") for level in (1, 2, 3)],
    ),
}
TARGETS = ("isic2018", "chest", "pcam_middle")
# Lesions come in unequal numbers, as in the real set; everywhere else classes are of one size.
SHARES = {"isic2018": {"NV": 0.34, "MEL": 0.18, "BKL": 0.14, "BCC": 0.10, "AKIEC": 0.08, "DF": 0.08, "VASC": 0.08}}


def exercised(dataset: str) -> tuple[str, ...]:
    """Return the factors that the labels of a dataset depend on, in the order in which the classes name them.

    >>> exercised("chest")
    ('dots', 'smooth', 'rough')
    """
    classes = CLASSES[dataset].values()
    degrees = dict.fromkeys(factor for factors in classes for factor in factors)
    depend = [factor for factor in degrees if not all(factor in factors for factors in classes)]
    return tuple(dict.fromkeys(factor.partition("=")[0] for factor in depend))


def shared_factors() -> pd.DataFrame:
    """Share of each target's class factors that a source's labels exercise too.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, share (0 to 1), factors (those shared, in the target's order, separated by commas); every
        source with every target but itself.
    """
    rows = []
    for target in TARGETS:
        wanted = exercised(target)
        for source in (name for name in CLASSES if name != target):
            shared = [factor for factor in wanted if factor in exercised(source)]
            rows.append((source, target, len(shared) / len(wanted), ", ".join(shared)))
    return pd.DataFrame(rows, columns=["source", "target", "share", "factors"])
