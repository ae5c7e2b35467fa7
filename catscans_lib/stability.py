"""How calmly did a network learn? Two numbers per curve, from the saved histories."""

import pandas as pd

CURVE = ["source", "target", "mode", "fold", "seed"]


def numbers(history: pd.DataFrame) -> pd.DataFrame:
    """Spread of the last third of every loss curve, and its worst step back.

    Parameters
    ----------
    history : pandas.DataFrame
        Columns source, target, mode, fold, seed, epoch, split, metric, value. The loss on the inner validation images is
        measured where there is one, else that on the training images.

    Returns
    -------
    pandas.DataFrame
        Columns of the curve, split, n_epochs, late_sd (ddof 1 over the last third of the epochs, at least two; NaN for a
        curve of one epoch), largest_rise (largest increase from one epoch to the next, 0 if it never rose).
    """
    losses = history[history["metric"] == "loss"]
    validated = set(losses[losses["split"] == "validation"][CURVE].itertuples(index=False, name=None))
    rows = []
    for (*curve, split), part in losses.groupby([*CURVE, "split"], sort=False):
        if split == "validation" or tuple(curve) not in validated:
            values = part.sort_values("epoch")["value"]
            late = values.iloc[-max(2, len(values) // 3) :]
            rows.append((*curve, split, len(values), late.std(), max(0.0, values.diff().max())))
    return pd.DataFrame(rows, columns=[*CURVE, "split", "n_epochs", "late_sd", "largest_rise"])


def summary(numbers: pd.DataFrame) -> pd.DataFrame:
    """Mean of both numbers per source, target and mode, with the number of curves."""
    groups = numbers.groupby(["source", "target", "mode"], sort=False)
    return groups.agg(
        late_sd=("late_sd", "mean"), largest_rise=("largest_rise", "mean"), n=("late_sd", "size")
    ).reset_index()
