"""Did a network learn at all? A gain over a network that did not learn is no gain from pretraining.

A network explains the share of the deviance by which its training loss, in the epoch that was kept, is lower than that of the
best constant prediction (McFadden's R²): ln C for C classes with balanced class weights, else the entropy of the class
frequencies; of several findings, the mean of that over them. A network

- **learned** if it explains at least 5 %: one that predicts a constant wanders by some per cent (dropout, augmentation);
- **did not learn** if it explains less than 0.5 %, whatever its AUC: random features rank many images rightly (measured: a loss
  of .693 in all ten epochs, and an AUC of .88, on 180 X-rays);
- in between, learned if its held-out AUC exceeds 0.5 + max(0.05, 1.96 sd), with the standard deviation under random scores,
  sqrt((n₁ + n₀ + 1) / (12 n₁ n₀)) (Mann and Whitney 1947): a low rate may rank images well before its loss moves far.

One failed training marks the whole pair of source and target in that mode: a mean over trained and untrained networks describes
neither.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from catscans_lib import results
from catscans_lib.evaluation import tables
from catscans_lib.evaluation.tables import CELL, KEYS

LEAST, ENOUGH = 0.005, 0.05  # shares of the deviance: below the first it did not learn, from the second on it did
MARGIN = 0.05  # of the AUC; chance alone is smaller on many images, but untrained features are not quite random
DEVIATES = 1.96  # standard deviations
LEARNED, FAILED, NOT_JUDGED = "learned", "did not learn", "not judged"
RUN = [*CELL, "seed"]
COLUMNS = [*KEYS, "training_loss", "constant_loss", "auc", "chance_auc", "verdict"]


def verdict(training_loss: float, constant_loss: float, auc: float, chance_auc: float) -> str:
    """Return `LEARNED` or `FAILED` by the rule above; a loss or AUC that is not finite speaks against learning."""
    explained = 1 - training_loss / constant_loss
    return LEARNED if explained >= ENOUGH or (explained >= LEAST and auc > chance_auc) else FAILED


def constant_loss(n_per_class: np.ndarray, balanced: bool) -> float:
    """Return the cross-entropy (nats) of the best constant prediction, from the number of images of each class."""
    share = np.asarray(n_per_class)[np.asarray(n_per_class) > 0] / np.sum(n_per_class)
    return float(np.log(len(share)) if balanced else -(share * np.log(share)).sum())


def verdicts(
    curves: pd.DataFrame, class_aucs: pd.DataFrame, settings: Mapping[tuple[str, str], Mapping[str, Any]]
) -> pd.DataFrame:
    """Judge the network of every source, target, mode, fold and seed in `class_aucs` (`tables.class_aucs`).

    `curves` are those of `results.chosen_curves`, `settings` the parameters of each run by source and target: class_weights, and
    patience, with which the epoch of the lowest validation loss was kept. Columns of the keys, training_loss, constant_loss, auc
    (weighted one-vs-rest), chance_auc, verdict: `NOT_JUDGED` without a learning curve, as for linear probes. chance_auc is the
    largest AUC that counts as chance; the deviations of classes are added as if they were perfectly correlated.
    """
    known = class_aucs[class_aucs["auc"].notna()]
    positive, negative = known["n_positive"].astype(float), known["n_negative"].astype(float)
    weight = positive.where(~known["multi_label"].astype(bool), 1.0)  # a mean over findings is macro
    sd = np.sqrt((positive + negative + 1) / (12 * positive * negative))
    sums = known[KEYS].assign(weight=weight, auc=weight * known["auc"], sd=weight * sd).groupby(KEYS).sum()
    losses = _kept_losses(curves, settings)
    table = class_aucs[KEYS].drop_duplicates(ignore_index=True).join(losses, on=KEYS).join(sums, on=KEYS)
    table["auc"] /= table["weight"]
    table["chance_auc"] = 0.5 + (DEVIATES * table["sd"] / table["weight"]).clip(lower=MARGIN)
    # folds are stratified, so their class shares are those in training
    how, constant = {"n_positive": "sum", "n_negative": "sum", "multi_label": "first"}, {}
    counts = class_aucs.groupby([*RUN, "class"]).agg(how)
    n, multi_label = counts[["n_positive", "n_negative"]].to_numpy(), counts["multi_label"].to_numpy()
    for key, at in counts.groupby(RUN).indices.items():
        each = n[at] if multi_label[at[0]] else [n[at, 0]]
        constant[key] = np.mean([constant_loss(one, settings[key[:2]]["class_weights"] == "balanced") for one in each])
    is_judged = pd.MultiIndex.from_frame(table[KEYS]).isin(losses.index)
    of_runs = [constant[key] for key in table[RUN].itertuples(index=False, name=None)]
    table["constant_loss"] = np.where(is_judged, of_runs, np.nan)
    rows = zip(is_judged, *(table[name] for name in COLUMNS[len(KEYS) : -1]), strict=True)
    return table.assign(verdict=[verdict(*row) if known else NOT_JUDGED for known, *row in rows])[COLUMNS]


def _kept_losses(curves: pd.DataFrame, settings: Mapping[tuple[str, str], Mapping[str, Any]]) -> pd.Series:
    """Return training_loss in the epoch whose weights were kept, by the keys of the training."""
    losses = curves[curves["metric"] == "loss"].pivot(index=[*KEYS, "epoch"], columns="split", values="value")
    losses = losses.reindex(columns=["train", "validation"]).reset_index("epoch")
    chooses = [pair for pair, chosen in settings.items() if chosen["patience"]]
    by_loss = losses.index.droplevel(["mode", "fold", "seed"]).isin(chooses)
    by_loss &= losses["validation"].notna().groupby(KEYS).transform("any").to_numpy()
    order = losses["validation"].where(by_loss, -losses["epoch"])  # else the last epoch is kept
    kept = losses.assign(order=order).sort_values("order", kind="stable").groupby(KEYS).head(1)
    return kept["train"].rename("training_loss")


def of_profile(profile: str, class_aucs: pd.DataFrame) -> pd.DataFrame:
    """Return `verdicts` on all finished transfer runs of a profile; `class_aucs` as `tables.class_aucs` returns them."""
    tried, rates = (results.of_transfers(profile, name) for name in ("history", "learning_rates"))
    runs = {(source, target): f"transfer/{name}" for name, source, target in results.transfers(profile)}
    settings = {pair: results.record(profile, key)["parameters"] for pair, key in runs.items()}
    return verdicts(results.chosen_curves(tried, rates), class_aucs, settings)


def failures(verdicts: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Return source, target and mode of every pair of which a network did not learn, with the words that say so."""
    failed = (verdicts["verdict"] == FAILED).groupby([verdicts[key] for key in CELL], sort=False).agg(["sum", "size"])
    return {
        key: FAILED if n_failed == n else f"{FAILED} in {n_failed} of {n} trainings"
        for key, n_failed, n in failed.itertuples()
        if n_failed
    }


def without_failures(table: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table (columns source, target, mode) whose networks all learned; gains are computed from these."""
    failed = pd.MultiIndex.from_tuples(failures(verdicts), names=CELL) if failures(verdicts) else []
    return table[~pd.MultiIndex.from_frame(table[CELL]).isin(failed)]


def of_backbones(profile: str, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return `verdicts` by backbone on the networks that made `predictions` (`tables.of_axis`)."""
    curves = results.chosen_curves(*(results.of_variants(profile, name) for name in ("history", "learning_rates")))
    curves, settings = curves[curves["axis"].isin(["", "backbone"])], {}
    for name, source, target, axis in results.variants(profile):
        if axis in ("", "backbone"):
            values = results.record(profile, f"transfer/{name}")["parameters"]
            settings.setdefault(values["backbone"], {})[source, target] = values
    return {
        backbone: verdicts(curves[curves["backbone"] == backbone], tables.class_aucs(here), settings[backbone])
        for backbone, here in predictions.groupby("backbone", sort=False)
    }
