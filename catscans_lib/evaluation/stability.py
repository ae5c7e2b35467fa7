"""How stable training was: numbers per learning curve, a verdict per source by stated rules, agreement between seeds.

A **curve** is one training: a source, target, mode, fold, seed and learning rate. It is judged on its inner validation images,
or on the training images if there are none.

It **diverged** if the training loss became non-finite, or ended (mean over the late epochs) more than a tenth above its first
epoch. A rising validation loss is not divergence, because it may be overfitting. A learning rate so high that already the first
epoch is bad is not detected by this rule; its AUC shows it.

The **verdict** on a group of curves is the first that applies:

- diverged: at least half of the curves diverged;
- unstable: a curve diverged, or the late AUC (mean over the curves) varies by more than 0.05 (sd), or drops by more than 0.1
  from one epoch to the next;
- unsettled: the late AUC varies by more than 0.01 (sd), or differs by more than 0.01 from that of the epochs before;
- stable: none of these.

The thresholds are absolute, so a verdict does not depend on the other sources; the column `times_median` compares with them.
0.01 is the difference of AUC that the study counts as none: for a stable network one epoch more or less would not have mattered.
With few inner validation images an AUC moves in coarse steps, and few networks are stable. Curves without an AUC are judged by
their accuracy under the same rules. With the loss alone, or fewer than four epochs, the verdict is "unknown" unless a curve
diverged.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from catscans_lib.statistics import ties

MEASURED = ("epoch", "split", "metric", "value")  # all other columns of a history identify its curves
SOURCE = ["source", "target", "mode"]
METRICS = ("auc", "accuracy")  # the verdict uses the first that was measured
LATE = 3  # the late epochs are the last third, at least two
OF_METRICS = [f"{metric}_{what}" for metric in METRICS for what in ("late_sd", "largest_drop", "late_gain", "final")]
DIVERGED_ABOVE = 0.1  # relative to the training loss of the first epoch
DIVERGED_SHARE = 0.5  # of the curves
UNSTABLE_SD, UNSTABLE_DROP = 0.05, 0.1
SETTLED_SD, SETTLED_GAIN = 0.01, 0.01


def by_target(history: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the fine-tuning curves by target; the baseline's longer budget is left out."""
    return dict(iter(history[history["mode"] == "fine_tune"].groupby("target", sort=False)))


def numbers(history: pd.DataFrame) -> pd.DataFrame:
    """Return a row per curve: variation of the late epochs, worst step back, final values, and whether it diverged.

    Takes a history: epoch, split, metric, value, and the columns that identify a curve (source, target, mode, fold, seed,
    learning_rate). Returns these; split (which it is judged on); n_epochs; of the loss: late_sd (ddof 1, over the last
    third of the epochs, at least two) and largest_rise (between two epochs, 0 if it never rose); of AUC and accuracy:
    <metric>_late_sd, <metric>_largest_drop, <metric>_late_gain (mean of the late epochs minus that of as many before) and
    <metric>_final (last epoch); diverged. Non-finite values are skipped; a number is NaN if too few are left. Raises
    ValueError if a curve has an epoch twice.
    """
    keys = [column for column in history if column not in MEASURED]
    if (twice := history.duplicated([*keys, "epoch", "split", "metric"])).any():
        raise ValueError(
            f"{twice.sum()} epochs of a curve occur twice; the columns that identify a curve are {', '.join(keys)}."
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


def summary(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return a row per source, target and mode: means of the columns of `numbers` over its curves, and the verdict.

    Further columns: divergence_rate (share of the curves), n (curves), times_median (late sd of the judged metric, divided by
    its median over the sources of the target).
    """
    groups = numbers.groupby(SOURCE, sort=False)
    table = groups[["late_sd", "largest_rise", *OF_METRICS]].mean()
    table["divergence_rate"] = groups["diverged"].mean()
    table["n"] = groups.size()
    judged = table[[f"{metric}_late_sd" for metric in METRICS]].bfill(axis=1).iloc[:, 0]
    table["times_median"] = judged / judged.groupby(level=["target", "mode"]).transform("median")
    table["verdict"] = [verdict(row) for _, row in table.iterrows()]
    return table.reset_index()


def verdict(row: pd.Series) -> str:
    """Return the verdict on a row of `summary` by the rules in the module's docstring."""
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
    """Return how much the AUC of each source varies between seeds, from `tables.aucs` or `final_aucs`.

    Columns source, target, mode, seed_sd (ddof 1, of the means over the folds that all seeds have), n_seeds, n_folds. A source
    with one seed has no row.
    """
    rows = []
    for key, part in aucs.groupby(SOURCE, sort=False):
        wide = part.pivot(index="fold", columns="seed", values="auc").dropna()
        if wide.shape[1] > 1 and len(wide):
            rows.append((*key, wide.mean().std(), wide.shape[1], len(wide)))
    return pd.DataFrame(rows, columns=[*SOURCE, "seed_sd", "n_seeds", "n_folds"])


def rank_agreement(aucs: pd.DataFrame) -> pd.DataFrame:
    """Return how well each pair of seeds agrees on the ranking of a target's sources, from `tables.aucs` or `final_aucs`.

    Columns target, mode, seed_a, seed_b, tau_b (Kendall's tau-b of the means over shared folds: 1 is the same order, -1 the
    reverse; NaN if all sources tie), n_sources. With one seed or one source there is no row.
    """
    rows = []
    for (target, mode), part in aucs.groupby(["target", "mode"], sort=False):
        for a, b in combinations(sorted(part["seed"].unique()), 2):
            wide = part.pivot(index="fold", columns=["seed", "source"], values="auc")
            sources = [source for source in wide[a] if source in wide[b]]
            both = wide[[(seed, source) for seed in (a, b) for source in sources]].dropna().mean()
            if len(sources) > 1:
                tau = kendalltau(ties.merged(both[a]), ties.merged(both[b])).statistic
                rows.append((target, mode, a, b, tau, len(sources)))
    return pd.DataFrame(rows, columns=["target", "mode", "seed_a", "seed_b", "tau_b", "n_sources"])


def final_aucs(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return source, target, mode, fold, seed and AUC of the last epoch on inner validation images."""
    here = numbers[(numbers["split"] == "validation") & numbers["auc_final"].notna()]
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
