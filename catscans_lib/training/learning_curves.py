"""Which curves a history holds: those of every learning rate that was tried, and among them those of the chosen ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def chosen_curves(history: pd.DataFrame, rates: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of the learning rates that were chosen.

    Parameters
    ----------
    history, rates : pandas.DataFrame
        As `training.fit_best` returns them, a run saves them (`history.csv`, `learning_rates.csv`), or `results.of_transfers`
        puts those of several runs together: what the two have in common tells the trainings apart.
    """
    chosen = rates[rates["chosen"].astype(bool)].drop(columns=["validation_loss", "chosen"])
    return history.merge(chosen, on=list(chosen.columns))
