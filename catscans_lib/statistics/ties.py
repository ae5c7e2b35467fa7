"""Values that differ only by rounding are ties: rankings use `merged` before they compare values."""

import numpy as np
from numpy.typing import ArrayLike

TIED = 1e-9  # of the scale of the values: smaller differences are rounding errors


def merged(values: ArrayLike, scale: ArrayLike | None = None) -> np.ndarray:
    """Return the values, with those that differ only by rounding made equal to the smallest of them.

    Values are compared along the last axis. Neighbours in order are ties if they differ by at most 1e-9 of `scale`, a number
    for each row (None: the largest magnitude in the row). Values without a tie stay as they are to the bit; NaN is never a tie.

    >>> merged([2.0, 2.0 + 1e-15, 3.0]).tolist()
    [2.0, 2.0, 3.0]
    """
    values = np.asarray(values, dtype=float)
    if values.shape[-1:] == (0,):
        return values
    if scale is None:
        scale = np.where(np.isfinite(values), np.abs(values), 0).max(axis=-1)
    order = np.argsort(values, axis=-1, kind="stable")  # NaN last
    ordered = np.take_along_axis(values, order, axis=-1)
    with np.errstate(invalid="ignore"):  # inf - inf
        is_tie = np.diff(ordered, axis=-1) <= TIED * np.asarray(scale)[..., None]
    first = np.zeros(values.shape, dtype=int)
    first[..., 1:] = np.where(is_tie, 0, np.arange(1, values.shape[-1]))
    first = np.maximum.accumulate(first, axis=-1)
    result = np.empty_like(values)
    np.put_along_axis(result, order, np.take_along_axis(ordered, first, axis=-1), axis=-1)
    return result
