"""How calmly did networks learn, and would they do so again? Numbers per curve, and a verdict per source by stated rules.

A **curve** is one training: a source, target, mode, fold, seed and learning rate, or a log. It is judged on its inner
validation images, or on the training images where there are none.

It **diverged** where the training loss stopped being a number, or ended (mean over the late epochs) more than a tenth above
its first epoch: rises of the validation loss are no divergence but may be overfitting. A rate so high that the first epoch is
bad already and stays so is not noticed by that: its AUC shows it.

The **verdict** on a group of curves is the first that holds:

- diverged: at least half of the curves did;
- unstable: a curve diverged, or the late AUC moves by more than 0.05 (sd), or falls by more than 0.1 from one epoch to the
  next, on the mean of the curves;
- unsettled: the late AUC moves by more than 0.01 (sd), or is still more than 0.01 above or below that of the epochs before;
- stable: none of these.

The thresholds are absolute: 0.01 is the difference of AUC that the study takes for none, so of a stable network an epoch more
or less would not have mattered. A verdict then depends neither on which other sources there are, nor on how these did; how a
source compares with them is the column `times_median`. With few inner validation images an AUC moves in coarse steps, and few
networks are stable. Where there is no AUC (logs), accuracy takes its place under the same rules. With the loss alone, or fewer
than four epochs, the verdict is "unknown", unless a curve diverged.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from catscans_lib.evaluation.keras_logs import read_keras_log, read_keras_logs
from catscans_lib.training.learning_curves import chosen_curves

__all__ = [
    "by_target", "chosen_curves", "final_aucs", "n_rates", "numbers", "rank_agreement", "read_keras_log", "read_keras_logs",
    "seed_spread", "summary", "verdict",
]  # fmt: skip

MEASURED = ("epoch", "split", "metric", "value")  # all other columns of a history tell its curves apart
SOURCE = ["source", "target", "mode"]
METRICS = ("auc", "accuracy")  # a verdict follows from the first that there is
LATE = 3  # the last one of so many parts of the epochs, and at least two epochs
OF_METRICS = [f"{metric}_{what}" for metric in METRICS for what in ("late_sd", "largest_drop", "late_gain", "final")]
DIVERGED_ABOVE = 0.1  # of the first epoch's training loss
DIVERGED_SHARE = 0.5  # of the curves
UNSTABLE_SD, UNSTABLE_DROP = 0.05, 0.1
SETTLED_SD, SETTLED_GAIN = 0.01, 0.01


def by_target(history: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the curves with the common budget by target (their epochs may be compared), or those of logs under "logs"."""
    if "log" in history:
        return {"logs": history}
    return dict(iter(history[history["mode"] == "fine_tune"].groupby("target", sort=False)))


def n_rates(history: pd.DataFrame) -> int:
    """Return how many learning rates the curves were trained with; 0 where it is not known."""
    return history["learning_rate"].nunique() if "learning_rate" in history else 0


def numbers(history: pd.DataFrame) -> pd.DataFrame:
    """Return a row per curve: how much its late epochs move, its worst step back, where it ended, and whether it diverged.

    Parameters
    ----------
    history : pandas.DataFrame
        Columns epoch, split, metric, value, and those that tell the curves apart (source, target, mode, fold, seed,
        learning_rate; or log).

    Returns
    -------
    pandas.DataFrame
        Columns of the curve; split (what it is judged on); n_epochs; of the loss late_sd (ddof 1, over the last third of the
        epochs, at least two) and largest_rise (from one epoch to the next, 0 if it never rose); of AUC and accuracy
        <metric>_late_sd, <metric>_largest_drop, <metric>_late_gain (mean of the late epochs minus that of as many before) and
        <metric>_final (last epoch); diverged. Epochs without a
        number are left out; NaN where too few are left, or there is no such metric.

    Raises
    ------
    ValueError
        If an epoch of a curve occurs twice.
    """
    keys = [column for column in history if column not in MEASURED]
    if (twice := history.duplicated([*keys, "epoch", "split", "metric"])).any():
        raise ValueError(
            f"{twice.sum()} epochs of a curve occur twice; the columns that tell curves apart are {', '.join(keys)}."
        )
    rows = []
    for key, part in history.groupby(keys, sort=False, dropna=False):
        curves = part.pivot(index="epoch", columns=["split", "metric"], values="value").sort_index()
        split = "validation" if "validation" in set(part["split"]) else "train"
        of_metrics = [number for metric in METRICS for number in _of_metric(_finite(_values(curves, split, metric)))]
        loss = _finite(_values(curves, split, "loss"))
        followed = _values(curves, "train" if ("train", "loss") in curves else split, "loss")
        late_sd, largest_rise = _late(loss).std(), _largest(loss.diff())
        rows.append((*key, split, len(curves), late_sd, largest_rise, *of_metrics, _diverged(followed)))
    return pd.DataFrame(rows, columns=[*keys, "split", "n_epochs", "late_sd", "largest_rise", *OF_METRICS, "diverged"])


def summary(numbers: pd.DataFrame, by: Sequence[str] = SOURCE) -> pd.DataFrame:
    """Return a row per group of curves (the same source, target and mode; or what `by` names) with their verdict.

    Returns
    -------
    pandas.DataFrame
        Columns `by`, the means over the curves of all that `numbers` measures, divergence_rate (share of the curves), n (curves),
        times_median (late sd of what is judged, over its median in the groups that differ in source or log only), verdict.
    """
    groups = numbers.groupby(list(by), sort=False, dropna=False)
    table = groups[["late_sd", "largest_rise", *OF_METRICS]].mean()
    table["divergence_rate"] = groups["diverged"].mean()
    table["n"] = groups.size()
    judged = table[[f"{metric}_late_sd" for metric in METRICS]].bfill(axis=1).iloc[:, 0]
    others = [key for key in by if key not in ("source", "log")]
    median = judged.groupby(level=others).transform("median") if others else judged.median()
    table["times_median"] = judged / median
    table["verdict"] = [verdict(row) for _, row in table.iterrows()]
    return table.reset_index()


def verdict(row: pd.Series) -> str:
    """Return the verdict on a row of `summary` by the rules above: diverged, unstable, unsettled, stable, or unknown."""
    if row["divergence_rate"] >= DIVERGED_SHARE:
        return "diverged"
    metric = next((metric for metric in METRICS if np.isfinite(row[f"{metric}_late_gain"])), None)
    if metric is None:
        return "unstable" if row["divergence_rate"] else "unknown"
    late_sd, drop, gain = (row[f"{metric}_{what}"] for what in ("late_sd", "largest_drop", "late_gain"))
    if row["divergence_rate"] or late_sd > UNSTABLE_SD or drop > UNSTABLE_DROP:
        return "unstable"
    return "unsettled" if late_sd > SETTLED_SD or abs(gain) > SETTLED_GAIN else "stable"


def seed_spread(aucs: pd.DataFrame) -> pd.DataFrame:
    """Return how far a source's AUC depends on the seed: the sd over seeds of the mean over the folds that all seeds have.

    Parameters
    ----------
    aucs : pandas.DataFrame
        Columns source, target, mode, fold, seed, auc: on held-out images as `evaluation.aucs` returns it, or on inner
        validation images as `final_aucs` does.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, mode, seed_sd (ddof 1), n_seeds, n_folds. A source that ran with one seed has no row.
    """
    rows = []
    for key, part in aucs.groupby(SOURCE, sort=False):
        wide = part.pivot(index="fold", columns="seed", values="auc").dropna()
        if wide.shape[1] > 1 and len(wide):
            rows.append((*key, wide.mean().std(), wide.shape[1], len(wide)))
    return pd.DataFrame(rows, columns=[*SOURCE, "seed_sd", "n_seeds", "n_folds"])


def rank_agreement(aucs: pd.DataFrame) -> pd.DataFrame:
    """Return how alike every two seeds rank the sources of a target: Kendall's tau-b of the means over shared folds.

    Parameters
    ----------
    aucs : pandas.DataFrame
        As for `seed_spread`.

    Returns
    -------
    pandas.DataFrame
        Columns target, mode, seed_a, seed_b, tau_b (1: the same order, 0: none, -1: reversed; NaN where all sources tie),
        n_sources. With one seed, or one source, there is no row.

    References
    ----------
    Kendall (1945), Biometrika 33, for ties.
    """
    rows = []
    for (target, mode), part in aucs.groupby(["target", "mode"], sort=False):
        for a, b in combinations(sorted(part["seed"].unique()), 2):
            wide = part.pivot(index="fold", columns=["seed", "source"], values="auc")
            sources = [source for source in wide[a] if source in wide[b]]
            both = wide[[(seed, source) for seed in (a, b) for source in sources]].dropna().mean()
            if len(sources) > 1:
                rows.append((target, mode, a, b, kendalltau(both[a], both[b]).statistic, len(sources)))
    return pd.DataFrame(rows, columns=["target", "mode", "seed_a", "seed_b", "tau_b", "n_sources"])


def final_aucs(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of every curve's last epoch on inner validation images; columns source, target, mode, fold, seed, auc.

    Logs know no seeds: they give no rows.
    """
    here = numbers[(numbers["split"] == "validation") & numbers["auc_final"].notna() & ("log" not in numbers)]
    return here.rename(columns={"auc_final": "auc"}).reindex(columns=[*SOURCE, "fold", "seed", "auc"])


def _values(curves: pd.DataFrame, split: str, metric: str) -> pd.Series:
    return curves[split, metric] if (split, metric) in curves else pd.Series(dtype=float)


def _finite(values: pd.Series) -> pd.Series:
    return values[np.isfinite(values)]


def _of_metric(values: pd.Series) -> tuple[float, float, float, float]:
    late = _late(values)
    before = values.iloc[-2 * len(late) : -len(late)] if len(late) else late
    gain = late.mean() - before.mean() if len(before) == len(late) else np.nan
    return late.std(), _largest(-values.diff()), gain, values.iloc[-1] if len(values) else np.nan


def _late(values: pd.Series) -> pd.Series:
    return values.iloc[-max(2, len(values) // LATE) :]


def _largest(changes: pd.Series) -> float:
    return max(0.0, changes.max()) if len(changes) > 1 else np.nan


def _diverged(loss: pd.Series) -> bool:
    if not np.isfinite(loss).all():
        return True
    return len(loss) > 1 and bool(_late(loss).mean() - loss.iloc[0] > DIVERGED_ABOVE * abs(loss.iloc[0]))
