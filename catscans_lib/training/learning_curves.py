"""Learning curves and the choice of a learning rate as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


def tidy(history: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Return a history of Keras as a table with columns epoch (from 1), split (train or validation), metric, value."""
    import pandas as pd

    rows = []
    for name, values in history.items():
        split, metric = ("validation", name.removeprefix("val_")) if name.startswith("val_") else ("train", name)
        if metric != "learning_rate":
            rows += [(epoch, split, metric, float(value)) for epoch, value in enumerate(values, start=1)]
    return pd.DataFrame(rows, columns=["epoch", "split", "metric", "value"])


def validation_loss(curves: pd.DataFrame, patience: int | None) -> float:
    """Return the validation loss of the epoch whose weights were kept: the best with `patience`, else the last.

    NaN without validation images.
    """
    losses = curves.loc[(curves["split"] == "validation") & (curves["metric"] == "loss"), "value"]
    if losses.empty:
        return float("nan")
    return float(losses.min() if patience else losses.iloc[-1])


def chosen_curves(history: pd.DataFrame, rates: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of the chosen learning rates.

    Parameters
    ----------
    history, rates : pandas.DataFrame
        From `loop.fit_best`, from one run (`history.csv`, `learning_rates.csv`), or from several runs; the columns that both
        share tell the trainings apart.
    """
    chosen = rates[rates["chosen"].astype(bool)].drop(columns=["validation_loss", "chosen"])
    return history.merge(chosen, on=list(chosen.columns))
