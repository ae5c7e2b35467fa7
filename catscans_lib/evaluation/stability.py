"""How stable training was: numbers per learning curve, a verdict per source, agreement between seeds.

A curve is one training (source, target, mode, fold, seed, learning rate), judged on its inner validation images. The chapter
*Stability* states and explains the rules of the verdicts.
"""

import numpy as np
import pandas as pd

MEASURED = ("epoch", "split", "metric", "value")  # all other columns of a history identify its curves
SOURCE = ["source", "target", "mode"]
LATE = 3  # the late epochs are the last third, at least two
NUMBERS = ["auc_late_sd", "auc_largest_drop", "auc_late_gain", "auc_final"]
DIVERGED_ABOVE = 0.1  # the late training loss, relative to that of the first epoch
DIVERGED_SHARE = 0.5  # of the curves
UNSTABLE_SD, UNSTABLE_DROP = 0.05, 0.1
SETTLED_SD, SETTLED_GAIN = 0.01, 0.01


def numbers(history: pd.DataFrame) -> pd.DataFrame:
    """Return a row per curve: variation of the AUC in the late epochs, worst step back, final value, and whether it diverged.

    Takes a history: epoch, split, metric, value, and the columns that identify a curve. Of the AUC on inner validation images:
    auc_late_sd (ddof 1, over the last third of the epochs, at least two), auc_largest_drop (between two epochs, 0 if it never
    fell), auc_late_gain (mean of the late epochs minus that of as many before) and auc_final (last epoch). Non-finite values are
    skipped; a number is NaN if too few are left. Raises ValueError if a curve has an epoch twice.
    """
    keys = [column for column in history if column not in MEASURED]
    rows = []
    for key, part in history.groupby(keys, sort=False, dropna=False):
        curves = part.pivot(index="epoch", columns=["split", "metric"], values="value").sort_index()
        names = ("validation", "auc"), ("train", "loss")
        aucs, loss = (curves[name] if name in curves else pd.Series(dtype=float) for name in names)
        diverged = not np.isfinite(loss).all()
        if len(loss) > 1:
            diverged |= bool(_late(loss).mean() - loss.iloc[0] > DIVERGED_ABOVE * abs(loss.iloc[0]))
        values = aucs[np.isfinite(aucs)]
        late = _late(values)
        before = values.iloc[-2 * len(late) : -len(late)] if len(late) else late
        gain = late.mean() - before.mean() if len(before) == len(late) else np.nan
        drop = max(0.0, -values.diff().min()) if len(values) > 1 else np.nan
        final = values.iloc[-1] if len(values) else np.nan
        rows.append((*key, len(curves), late.std(), drop, gain, final, diverged))
    return pd.DataFrame(rows, columns=[*keys, "n_epochs", *NUMBERS, "diverged"])


def summary(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return a row per source, target and mode: means of the columns of `numbers` over its curves, their number, and the verdict.

    divergence_rate is a share of the curves, times_median auc_late_sd divided by its median over the sources of the target.
    """
    groups = numbers.groupby(SOURCE, sort=False)
    table = groups[NUMBERS].mean()
    table["divergence_rate"] = groups["diverged"].mean()
    table["n"] = groups.size()
    spread = table["auc_late_sd"]
    table["times_median"] = spread / spread.groupby(level=["target", "mode"]).transform("median")
    table["verdict"] = [verdict(row) for _, row in table.iterrows()]
    return table.reset_index()


def verdict(row: pd.Series) -> str:
    """Return the verdict on a row of `summary` by the rules in the chapter *Stability*."""
    if row["divergence_rate"] >= DIVERGED_SHARE:
        return "diverged"
    late_sd, drop, gain = row[NUMBERS[:3]]
    if np.isnan(gain):
        return "unstable" if row["divergence_rate"] else "unknown"
    if row["divergence_rate"] or late_sd > UNSTABLE_SD or drop > UNSTABLE_DROP:
        return "unstable"
    return "unsettled" if late_sd > SETTLED_SD or abs(gain) > SETTLED_GAIN else "stable"


def seed_spread(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return how much the final AUC on inner validation images (`numbers`) varies between the seeds of each source.

    seed_sd has ddof 1, of the means over the folds that all seeds have. A source with one seed has no row.
    """
    rows = []
    for key, part in numbers.groupby(SOURCE, sort=False):
        wide = part.pivot(index="fold", columns="seed", values="auc_final").dropna()
        if wide.shape[1] > 1 and len(wide):
            rows.append((*key, wide.mean().std(), wide.shape[1], len(wide)))
    return pd.DataFrame(rows, columns=[*SOURCE, "seed_sd", "n_seeds", "n_folds"])


def _late(values: pd.Series) -> pd.Series:
    return values.iloc[-max(2, len(values) // LATE) :]
