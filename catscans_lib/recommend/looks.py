"""Do images look like those of known targets? By colour, brightness, texture and layout, without any network.

A look is the normal distribution of these statistics on the images of one target. An image looks like the target if it is no
farther from its mean than 95 % of the target's own images, so each target has a bandwidth of its own.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from catscans_lib import datasets, paths
from catscans_lib.evidence import studies
from catscans_lib.images import store
from catscans_lib.recommend.own_images import OwnImages
from catscans_lib.transferability import Study

SIZE_PX = 48
STATISTICS = [
    *(f"{row}_{column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right")),
    "red_green", "blue_green", "saturation", "saturation_sd", "sd", "dark", "median", "bright",
    *(f"edges_{axis}_{scale}" for scale in (1, 2, 4) for axis in ("vertical", "horizontal")),
]  # fmt: skip
TOLERANCE = 0.04  # differences below it say nothing: another compression or scaling of the same image makes them


class Look(NamedTuple):
    """Mean of the statistics, (23,), and a factor, (23, 23): ``norm((statistics - mean) @ factor)`` is 1 at the border."""

    size_px: int  # of the stored images that it was computed of
    mean: np.ndarray
    factor: np.ndarray


def statistics(images: np.ndarray) -> np.ndarray:
    """Return `STATISTICS` of uint8 images (n, height, width, 3), shape (n, 23), all of the order of 1."""
    small = [np.asarray(Image.fromarray(image).resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)) for image in images]
    pixels = np.stack(small).astype("float32") / 255
    n, grey, third = len(pixels), pixels.mean(axis=3), SIZE_PX // 3
    flat, colour = grey.reshape(n, -1), np.ptp(pixels, axis=3).reshape(n, -1)
    red, green, blue = pixels.mean(axis=(1, 2)).T
    found = [*grey.reshape(n, 3, third, 3, third).mean(axis=(2, 4)).reshape(n, 9).T, red - green, blue - green]
    found += [colour.mean(axis=1), colour.std(axis=1), flat.std(axis=1), *np.quantile(flat, [0.05, 0.5, 0.95], axis=1)]
    for _ in range(3):
        found += [np.log(np.abs(np.diff(grey, axis=axis)).mean(axis=(1, 2)) + 0.003) / 5 for axis in (1, 2)]
        half = grey.shape[1] // 2
        grey = grey.reshape(n, half, 2, half, 2).mean(axis=(2, 4))
    return np.stack(found, axis=1).astype("float64")


def of_images(images: np.ndarray) -> Look:
    """Return the look of a target's images, uint8 (n, side, side, 3)."""
    found = statistics(images)
    mean, covariance = found.mean(axis=0), np.cov(found.T) + TOLERANCE**2 * np.eye(len(STATISTICS))
    factor = np.linalg.cholesky(np.linalg.inv(covariance))
    border = np.quantile(np.linalg.norm((found - mean) @ factor, axis=1), 0.95)
    return Look(images.shape[1], mean, factor / border)


def shipped() -> dict[str, Look]:
    """Return the looks of the targets of our own runs, from `evidence/more/looks.csv`."""
    table = pd.read_csv(studies.folder() / "more" / "looks.csv", comment="#").fillna(0).groupby("target", sort=False)
    return {name: Look(SIZE_PX, one["mean"].to_numpy(), one[STATISTICS].to_numpy()) for name, one in table}


def known(profiles: Sequence[Study]) -> dict[str, Look]:
    """Return the looks of the shipped targets and of the profiles' targets whose images are here; the demo's come alone."""
    found = {} if any(study.is_demo for study in profiles) else shipped()
    for study in profiles:
        for name in study.targets:
            file = paths.store_path(study.profile, name, study.sizes_px[name])
            if name not in found and file.is_file():
                images = store.open_store(file).images
                found[name] = of_images(images[:: max(1, len(images) // 500)])
    return found


def compare(images: OwnImages, looks: dict[str, Look]) -> dict[str, Any] | None:
    """Return the share of the user's images that look like no target (unlike), the target that most look like (nearest), the
    share that does (near), and n_targets; None without a look."""
    if not looks:
        return None
    sizes = {look.size_px: images.at(look.size_px) for look in looks.values()}
    found = {size_px: statistics(subset.store.images[subset.rows]) for size_px, subset in sizes.items()}
    norms = [np.linalg.norm((found[one.size_px] - one.mean) @ one.factor, axis=1) for one in looks.values()]
    inside = np.stack(norms) <= 1
    near = inside.mean(axis=1)
    nearest = datasets.titles().get(name := [*looks][near.argmax()], name)
    return {"unlike": 1 - inside.any(axis=0).mean(), "nearest": nearest, "near": near.max(), "n_targets": len(looks)}
