"""What the classes of the demo world are made of, written down before any network was trained: the ground truth.

A class factor of a dataset is something its labels depend on. A source shares a factor with a target when both sets of
labels depend on it; how much the target gets from it in the end is for the sweep to find out.
"""

import pandas as pd

from catscans_lib.datasets import cards

OUTLINES = ("smooth", "irregular", "polygon", "star", "ring")
TEXTURES = ("mesh", "rough", "streaks", "dots", "cloud", "grating", "nuclei", "checks", "rings", "plain")

FACTORS: dict[str, tuple[str, ...]] = {
    "imagenet": (*OUTLINES, "mesh", "rough", "streaks", "dots", "cloud", "grating", "nuclei", "plain"),
    "stl10": (*OUTLINES, "mesh", "streaks"),
    "sti10": ("irregular", "polygon", "star", "ring"),
    "dtd": ("mesh", "rough", "streaks", "dots", "cloud", "grating", "nuclei", "checks", "rings"),
    "isic2018": ("smooth", "irregular", "mesh", "rough", "streaks", "dots", "cloud"),
    "chest": ("smooth", "rough", "dots"),  # a soft round or a rough opacity, against small sharp vessels
    "pcam_middle": ("nuclei", "irregular", "dots", "stain", "centre"),  # few large irregular nuclei, many small ones
    "pcam_small": ("nuclei", "irregular", "dots", "stain", "centre"),
    "kimia960": ("mesh", "rough", "streaks", "dots", "cloud", "nuclei", "stain"),
}
TARGETS = ("isic2018", "chest", "pcam_middle")


def demo_names() -> tuple[str, ...]:
    """Return the keys of the nine datasets, those of the study."""
    return cards.known()


def shared_factors() -> pd.DataFrame:
    """Share of each target's class factors that a source's labels exercise.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, share (0 to 1), factors (those shared, in the target's order, separated by commas); every
        source with every target but itself.
    """
    rows = []
    for target in TARGETS:
        for source in (name for name in demo_names() if name != target):
            shared = [factor for factor in FACTORS[target] if factor in FACTORS[source]]
            rows.append((source, target, len(shared) / len(FACTORS[target]), ", ".join(shared)))
    return pd.DataFrame(rows, columns=["source", "target", "share", "factors"])
