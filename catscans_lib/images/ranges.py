"""Images with more than 8 bits: one range of values for the whole dataset, scaled to 0 to 255."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import h5py

    from catscans_lib.images.decode import Decoded

DIM = "uses less than an eighth of the dataset's range of values, so it has little contrast"
OUTSIDE = "values outside of the dataset's range are cut off"


class Deep:
    """Images with more than 8 bits, kept in a temporary file until the range of the dataset is known."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with this object
        self._kept: list[tuple[int, Decoded]] = []

    def add(self, row: int, got: "Decoded") -> None:
        """Keep the image of a row of the store."""
        np.save(self._file, got.pixels)
        self._kept.append((row, got._replace(pixels=None)))

    def write(
        self, images: "h5py.Dataset", given: tuple[float, float] | None = None
    ) -> tuple[tuple[float, float] | None, list[tuple[int | None, str]]]:
        """Scale the images into their rows; return the range (None: no such images), and what was lost (row, loss).

        The range is the one `given`, else that of these images. The row None is the dataset.
        """
        if not self._kept:
            return None, []
        low, high = given or dataset_range(np.array([got.extremes for _, got in self._kept]))
        kinds = f"{len(self._kept):,} images with more than 8 bits, or in DICOM files without a window,"
        losses = [(None, f"the values {low:,.6g} to {high:,.6g} of {kinds} became 0 to 255")]
        self._file.seek(0)
        for row, got in self._kept:
            images[row] = to_8_bits(np.load(self._file), low, high, is_negative=got.is_negative)
            least, q_low, q_high, most = got.extremes
            losses += [(row, DIM)] if q_high - q_low < (high - low) / 8 else []
            losses += [(row, OUTSIDE)] if least < low or most > high else []
        return (low, high), losses


def dataset_range(extremes: np.ndarray) -> tuple[float, float]:
    """Return the range of a dataset from smallest value, 0.1 % quantile, 99.9 % quantile and largest value of its images.

    The whole range; without the outermost 0.1 % of each image if they would take more than half of it, as dead pixels do.

    >>> dataset_range(np.array([[0, 10, 4000, 65535], [0, 20, 3900, 4000]]))
    (10.0, 4000.0)
    """
    low, high = extremes[:, 0].min(), extremes[:, 3].max()
    q_low, q_high = extremes[:, 1].min(), extremes[:, 2].max()
    return (float(q_low), float(q_high)) if high - low > 2 * (q_high - q_low) > 0 else (float(low), float(high))


def to_8_bits(values: np.ndarray, low: float, high: float, *, is_negative: bool = False) -> np.ndarray:
    """Return values (height, width) or (height, width, 3) as uint8 (height, width, 3): low 0, high 255, NaN 0."""
    share = np.clip((values - low) / (high - low), 0, 1) if high > low else np.where(np.isnan(values), np.nan, 0.0)
    share = np.nan_to_num(1 - share if is_negative else share)
    grey_or_rgb = (share * 255).round().astype(np.uint8)
    return grey_or_rgb if grey_or_rgb.ndim == 3 else np.repeat(grey_or_rgb[..., None], 3, axis=2)
