"""Images and what networks make of them: sheets of small pictures, every pixel sharp."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from catscans_lib.figures.style import COLOURS

GAP = 0.08  # between pictures, as a share of their side
SMALL_PX = 48  # pictures are drawn at least so large: a filter of 3 x 3 is not 3 pixels wide
RIGHT, WRONG = COLOURS[0], COLOURS[1]


def image_grid(images: np.ndarray, labels: list[str], *, n_columns: int) -> Figure:
    """Images side by side, each with its label above; uint8, shape (n_images, height, width, 3)."""
    n, height, width, _ = images.shape
    n_rows = -(-n // n_columns)
    # One picture, not an axes per image: with a hundred of them that is twenty times as fast.
    step_y, step_x = round(1.3 * height), round(1.1 * width)
    sheet = np.full((n_rows * step_y, n_columns * step_x, 3), 255, np.uint8)
    side = 1.25 if n_columns > 1 else 2.2
    figure, ax = plt.subplots(figsize=(side * n_columns, side * n_rows * step_y / step_x))
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        top, left = number // n_columns * step_y + step_y - height, number % n_columns * step_x
        sheet[top : top + height, left : left + width] = image
        ax.text(left + width / 2, top - 0.04 * height, label, fontsize=7, ha="center", va="bottom")
    ax.imshow(sheet, interpolation="nearest")
    ax.set_axis_off()
    return figure


def feature_map_grid(image: np.ndarray, maps: dict[str, np.ndarray], *, titles: dict[str, str]) -> Figure:
    """One row per source: the image, then its feature maps, each scaled by itself (cividis).

    Parameters
    ----------
    image : numpy.ndarray of uint8, shape (height, width, 3)
    maps : dict of numpy.ndarray, shape (height, width, n_maps)
    """
    rows = {titles[source]: [image, *(_coloured(one) for one in _each(here))] for source, here in maps.items()}
    return _sheet(rows, ["image", *(f"map {number}" for number in range(1, _longest(rows)))])


def filter_grid(filters: dict[str, np.ndarray], *, titles: dict[str, str], n_filters: int = 16) -> Figure:
    """One row per source: filters of the first convolution with the largest norm, grey for 0, each scaled by itself.

    Parameters
    ----------
    filters : dict of numpy.ndarray, shape (height, width, 3, n_filters)
    """
    rows = {}
    for source, here in filters.items():
        largest = np.argsort(-(here**2).sum(axis=(0, 1, 2)), kind="stable")[:n_filters]
        rows[titles[source]] = [_around_grey(here[..., number]) for number in largest]
    return _sheet(rows, [""] * _longest(rows), side=0.42)


def before_after_grid(
    image: np.ndarray, pairs: dict[str, tuple[np.ndarray, np.ndarray]], *, titles: dict[str, str]
) -> Figure:
    """One row per source: the image, then maps before and after fine-tuning, and what came to them.

    The same map has one scale before and after (cividis). The difference is centred on 0 (white); its largest value, as a
    share of the range of the map, stands below it.

    Parameters
    ----------
    pairs : dict of (numpy.ndarray, numpy.ndarray), both of shape (height, width, n_maps)
    """
    rows, notes = {}, {}
    for source, (before, after) in pairs.items():
        row, note = [image], [""]
        for one, other in zip(_each(before), _each(after), strict=True):
            limits = min(one.min(), other.min()), max(one.max(), other.max())
            most = np.abs(other - one).max()
            row += [_coloured(one, *limits), _coloured(other, *limits), _coloured(other - one, -most, most, "RdBu")]
            note += ["", "", f"± {most / max(limits[1] - limits[0], 1e-12):.0%}"]
        rows[titles[source]], notes[titles[source]] = row, note
    return _sheet(rows, ["image", *["before", "after", "difference"] * (_longest(rows) // 3)], notes)


def grad_cam_grid(
    images: np.ndarray,
    shown: pd.DataFrame,
    heats: dict[str, np.ndarray],
    answers: pd.DataFrame,
    *,
    titles: dict[str, str],
) -> Figure:
    """One column per image, one row per source: the image in grey, with what spoke for the network's answer laid over it.

    Parameters
    ----------
    images : numpy.ndarray of uint8, shape (n_images, height, width, 3)
    shown : pandas.DataFrame
        One row per image, as `grad_cam.examples` returns it.
    heats, answers
        As `grad_cam.of_sources` returns them.
    """
    rows, notes, colours = {"image": list(images)}, {"image": [""] * len(images)}, {}
    for source, here in answers.groupby("source", sort=False):
        title = titles[source]
        rows[title] = [_overlaid(image, heat) for image, heat in zip(images, heats[source], strict=True)]
        notes[title] = [
            f"{'✓' if right else '✗'} {predicted} {score:.2f}"
            for right, predicted, score in zip(here["right"], here["predicted"], here["score"], strict=True)
        ]
        colours[title] = [RIGHT if right else WRONG for right in here["right"]]
    headings = [f"{row.label}\n({'right' if row.right else 'wrong'})" for row in shown.itertuples()]
    return _sheet(rows, headings, notes, colours, side=1.1)


def _each(maps: np.ndarray) -> list[np.ndarray]:
    return list(np.moveaxis(maps, -1, 0))


def _longest(rows: dict[str, list[np.ndarray]]) -> int:
    return max(map(len, rows.values()))


def _coloured(
    values: np.ndarray, low: float | None = None, high: float | None = None, cmap: str = "cividis"
) -> np.ndarray:
    """Colours of a map, uint8; the limits are its own where none are given."""
    return mpl.colormaps[cmap](mpl.colors.Normalize(low, high)(values), bytes=True)[..., :3]


def _around_grey(values: np.ndarray) -> np.ndarray:
    """Colours of numbers of both signs, shape (height, width, 3): 0 is grey, the largest of them black or full."""
    return np.uint8(127.5 + 127.5 * values / max(np.abs(values).max(), 1e-12))


def _overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image in grey under the positive part of its heat, scaled by itself and smoothly enlarged."""
    height, width = image.shape[:2]
    positive = np.maximum(heat, 0).astype("float32")
    large = Image.fromarray(positive / max(positive.max(), 1e-12)).resize((width, height), Image.Resampling.BILINEAR)
    share = np.asarray(large)[..., None]
    grey = image @ np.array([0.299, 0.587, 0.114])
    hot = mpl.colormaps["inferno"](share[..., 0])[..., :3] * 255
    return np.uint8((1 - 0.6 * share) * grey[..., None] + 0.6 * share * hot)


def _sheet(
    rows: dict[str, list[np.ndarray]], headings: list[str], notes: dict[str, list[str]] | None = None,
    colours: dict[str, list[str]] | None = None, side: float = 0.72,
) -> Figure:  # fmt: skip
    """Pictures in rows with a name each, headings above the columns, and notes below pictures.

    Parameters
    ----------
    rows : dict of list of numpy.ndarray of uint8, shape (height, width, 3)
    side : float
        Side of a picture in inches.
    """
    largest = max(max(picture.shape[:2]) for row in rows.values() for picture in row)
    pixels = largest * -(-SMALL_PX // largest)
    step_x = round(pixels * (1 + GAP))
    step_y = round(pixels * (1.3 if notes else 1 + GAP))
    sheet = np.full((len(rows) * step_y, len(headings) * step_x, 3), 255, np.uint8)
    figure, ax = plt.subplots(figsize=(side * len(headings) + 1.9, side * len(rows) * step_y / step_x + 0.3))
    for place, (name, row) in enumerate(rows.items()):
        top = place * step_y
        ax.text(-0.1 * pixels, top + pixels / 2, name, fontsize=8, ha="right", va="center")
        for column, picture in enumerate(row):
            left = column * step_x
            sheet[top : top + pixels, left : left + pixels] = _enlarged(picture, pixels)
            if notes:
                style = {"color": colours[name][column]} if colours and name in colours else {}
                x, y = left + pixels / 2, top + 1.03 * pixels
                ax.text(x, y, notes[name][column], fontsize=6.5, ha="center", va="top", **style)
    for column, heading in enumerate(headings):
        ax.text(column * step_x + pixels / 2, -0.06 * pixels, heading, fontsize=7, ha="center", va="bottom")
    ax.imshow(sheet, interpolation="nearest")  # one picture for all: an axes for each takes seconds
    ax.set_axis_off()
    return figure


def _enlarged(picture: np.ndarray, pixels: int) -> np.ndarray:
    """Repeat the pixels of a picture until it fills a square."""
    rows, columns = (np.arange(pixels) * size // pixels for size in picture.shape[:2])
    return picture[rows[:, None], columns]
