"""Images and what networks make of them."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure


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
    """One row per source: the image, then its feature maps, each scaled by itself.

    Parameters
    ----------
    image : numpy.ndarray of uint8, shape (height, width, 3)
    maps : dict of numpy.ndarray, shape (height, width, n_maps)
    """
    n_maps = max(here.shape[2] for here in maps.values())
    figure, axes = plt.subplots(len(maps), n_maps + 1, figsize=(1.05 * (n_maps + 2), 1.1 * len(maps)), squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for row, (source, here) in zip(axes, maps.items(), strict=True):
        row[0].imshow(image, interpolation="nearest")
        row[0].set_ylabel(titles[source], rotation=0, ha="right", va="center", fontsize=9)
        for ax, number in zip(row[1:], range(here.shape[2]), strict=False):
            ax.imshow(here[:, :, number], cmap="cividis", interpolation="nearest")
    return figure
