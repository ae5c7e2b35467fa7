"""Images, feature maps and Grad-CAM as sheets of small pictures; similarity of networks."""

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from catscans_lib.figures.style import COLOURS, Titles, heatmap, ordered

GAP = 0.08  # between pictures, relative to their side
SMALL_PX = 48  # smallest side of a drawn picture: a small map is enlarged


def image_grid(images: np.ndarray, labels: list[str], *, n_columns: int) -> Figure:
    """Plot images, uint8, shape (n_images, height, width, 3), in a grid with a label below each."""
    lines = [slice(start, start + n_columns) for start in range(0, len(images), n_columns)]
    rows = [("", images[line], labels[line], []) for line in lines]
    return _sheet(rows, [], side=1.25 if n_columns > 1 else 2.2)


def feature_map_grid(image: np.ndarray, maps: dict[str, np.ndarray], *, titles: Titles) -> Figure:
    """Plot the image and its feature maps, shape (height, width, n_maps), a row per source; each map has its own scale."""
    colours = mpl.colormaps["cividis"]
    rows = []
    for source, here in maps.items():
        pictures = [colours(Normalize()(one), bytes=True)[..., :3] for one in np.moveaxis(here, -1, 0)]
        rows.append((titles[source], [image, *pictures], [], []))
    return _sheet(rows, ["image", *(f"map {number}" for number in range(1, max(len(row[1]) for row in rows)))])


def grad_cam_grid(
    images: np.ndarray, shown: pd.DataFrame, heats: dict[str, np.ndarray], answers: pd.DataFrame, *, titles: Titles
) -> Figure:  # fmt: skip
    """Plot Grad-CAM maps over the grey images: a column per image, a row per source.

    Takes images of shape (n_images, height, width, 3); `shown` (a row per image) from `grad_cam.examples`; `heats` and
    `answers` from `grad_cam.of_sources`.
    """
    rows = [("image", images, [""] * len(images), [])]
    for source, here in answers.groupby("source", sort=False):
        pictures = [overlaid(image, heat) for image, heat in zip(images, heats[source], strict=True)]
        notes = [f"{'✓' if row.right else '✗'} {row.predicted} {row.score:.2f}" for row in here.itertuples()]
        rows.append((titles[source], pictures, notes, [COLOURS[0 if right else 1] for right in here["right"]]))
    headings = [f"{row.label}\n({'right' if row.right else 'wrong'})" for row in shown.itertuples()]
    return _sheet(rows, headings, side=1.1)


def overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return the grey image under the positive part of its heat map, scaled to its maximum and interpolated."""
    height, width = image.shape[:2]
    positive = np.maximum(heat, 0).astype("float32")
    large = Image.fromarray(positive / max(positive.max(), 1e-12)).resize((width, height), Image.Resampling.BILINEAR)
    share = np.asarray(large)[..., None]
    grey = image @ np.array([0.299, 0.587, 0.114])
    hot = mpl.colormaps["inferno"](share[..., 0])[..., :3] * 255
    return np.uint8((1 - 0.6 * share) * grey[..., None] + 0.6 * share * hot)


def _sheet(
    rows: list[tuple[str, Sequence[np.ndarray], list[str], list[str]]], headings: list[str], side: float = 0.72
) -> Figure:
    """Plot rows of pictures (uint8, shape (height, width, 3)), `side` inches each, with column headings.

    A row has a name, pictures, a note below each (or none), and the colours of the notes (none: black).
    """
    largest = max(max(picture.shape[:2]) for row in rows for picture in row[1])
    pixels = largest * -(-SMALL_PX // largest)
    step_x = round(pixels * (1 + GAP))
    step_y, n_columns = round(pixels * (1.3 if rows[0][2] else 1 + GAP)), max(len(row[1]) for row in rows)
    sheet = np.full((len(rows) * step_y, n_columns * step_x, 3), 255, np.uint8)
    figure, ax = plt.subplots(figsize=(side * n_columns + 1.9, side * len(rows) * step_y / step_x + 0.3))
    for place, (name, pictures, notes, colours) in enumerate(rows):
        top = place * step_y
        ax.text(-0.1 * pixels, top + pixels / 2, name, fontsize=8, ha="right", va="center")
        for column, picture in enumerate(pictures):
            left = column * step_x
            lines, dots = (np.arange(pixels) * size // pixels for size in picture.shape[:2])
            sheet[top : top + pixels, left : left + pixels] = picture[lines[:, None], dots]  # not interpolated
            if notes:
                style = {"color": colours[column] if colours else "black", "ha": "center", "va": "top"}
                ax.text(left + pixels / 2, top + 1.03 * pixels, notes[column], fontsize=6.5, **style)
    for column, heading in enumerate(headings):
        ax.text(column * step_x + pixels / 2, -0.06 * pixels, heading, fontsize=7, ha="center", va="bottom")
    # one picture for all, its own pixels in the SVG: an Axes for each takes seconds
    ax.imshow(sheet, interpolation="none")
    ax.set_axis_off()
    return figure


def cka_matrix(table: pd.DataFrame, *, titles: Titles) -> Axes:
    """Plot the similarity of all pairs of sources in one layer, from the table of `layer_similarity.between`."""
    sources = ordered(table["source"])
    wide = table.pivot(index="source", columns="other", values="cka").loc[sources, sources]
    label, norm = f"linear CKA, n = {table['n_images'].iloc[0]} images", Normalize(0, 1, clip=True)
    size = (3.2 + 0.55 * len(sources), 1.9 + 0.26 * len(sources))
    ax = heatmap(wide, "cividis", norm, "{:.2f}", label=label, titles=titles, size=size)
    ax.set_title(table["layer"].iloc[0])
    return ax
