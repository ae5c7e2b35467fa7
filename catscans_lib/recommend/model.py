"""Which source for a new target? Measures of similarity, calibrated on targets whose AUCs are known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from catscans_lib.evaluation.tables import shared_modes
from catscans_lib.transferability.similarity_tables import closer

# These look at the target through a source's network.
MEASURES = ("logme", "linear_probe_auc", "regularised_h_score", "sfda", "n_leep")
CHECK = ["target", "advised", "regret", "regret_imagenet", "regret_random", "covered"]
N_DRAWS = 20_000
SHARES = np.linspace(0, 0.95, 20)  # grid over the share of variance that a source has in common on all targets
WIDE = 10.0  # prior sd of the slope, in units of the residuals' sd per sd of the measures: uninformative


@dataclass(frozen=True)
class Calibration:
    """How AUCs depend on the measures: ``auc - target's mean = slope * closeness + source's own effect + noise``.

    `slope` is in AUC per standard deviation of `closeness`. `effect` (n_sources,) is the mean AUC of each source beyond its
    measures, over all targets, shrunk to 0. `covariance` (1 + n_sources, 1 + n_sources) is the posterior covariance of the slope
    and the effects. `effect_sd` and `noise_sd` are standard deviations, of the effects and of the noise.
    """

    slope: float
    slope_sd: float
    sources: list[str]
    effect: np.ndarray
    covariance: np.ndarray
    effect_sd: float
    noise_sd: float
    n_targets: int


def closeness(similarity: pd.DataFrame, measures: list[str]) -> pd.Series:
    """Return the closeness of sources and targets: mean over measures of z-scores within a target; larger is closer.

    `similarity` has columns source, target, measure, value, larger_is_closer; seeds are averaged, and noise floors (rows whose
    source is the target) are left out. A measure with the same value for all sources counts 0. The result is indexed by
    target and source.
    """
    means = closer(similarity[similarity["measure"].isin(measures)]).unstack("measure")
    by_target = means.groupby(level="target")
    spread = by_target.transform("std").replace(0.0, np.nan)
    return ((means - by_target.transform("mean")) / spread).mean(axis=1).fillna(0.0)


def calibrate(aucs: pd.DataFrame, near: pd.Series) -> Calibration:
    """Fit the calibration to all targets with known AUCs, as a Bayesian linear model.

    The share of variance between sources is the most likely one of a grid; the rest has a closed form. With few targets the
    effects of sources are shrunk strongly.

    `aucs` has columns source, target, auc of one mode; folds and seeds are averaged, source `none` is left out. `near` is as
    `closeness` returns it. Raises ValueError if fewer than two targets, or fewer than three sources on one, have both.
    """
    y, x, codes, sources, n_targets = _points(aucs, near)
    slopes = np.column_stack([x, np.eye(len(sources))[codes]])
    best = None
    for share in SHARES:
        prior = np.concatenate([[1 / WIDE**2], np.full(len(sources), (1 - share) / max(share, 1e-6))])
        precision = slopes.T @ slopes + np.diag(prior)
        mean = np.linalg.solve(precision, slopes.T @ y)
        error = float(y @ y - mean @ precision @ mean)
        n = len(y) - n_targets  # a mean was subtracted from every target
        evidence = (np.log(prior).sum() - np.linalg.slogdet(precision)[1] - n * np.log(error / n)) / 2
        if best is None or evidence > best[0]:
            best = (evidence, mean, np.linalg.inv(precision) * error / n, share, np.sqrt(error / n))
    _, mean, covariance, share, noise = best
    effect_sd, slope_sd = noise * np.sqrt(share / (1 - share)), np.sqrt(covariance[0, 0])
    return Calibration(
        slope=float(mean[0]), slope_sd=float(slope_sd), sources=sources, effect=mean[1:], covariance=covariance,
        effect_sd=float(effect_sd), noise_sd=float(noise), n_targets=n_targets,
    )  # fmt: skip


def _points(aucs: pd.DataFrame, near: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str], int]:
    """AUC and closeness minus their target's means, number of the source, sources, number of targets."""
    means = aucs[aucs["source"] != "none"].groupby(["target", "source"])["auc"].mean()
    table = pd.DataFrame({"auc": means, "near": near}).dropna()
    sizes = table.groupby(level="target").size()
    if len(sizes) < 2 or sizes.min() < 3:
        raise ValueError(
            "A calibration needs two targets with AUCs of three sources each; the number of sources by target is "
            f"{sizes.to_dict() or 'zero'}. Run the sweep and its similarity runs first."
        )
    table -= table.groupby(level="target").transform("mean")
    sources = sorted(table.index.get_level_values("source").unique())
    codes = pd.Index(sources).get_indexer(table.index.get_level_values("source"))
    return table["auc"].to_numpy(), table["near"].to_numpy(), codes, sources, len(sizes)


def rank(calibration: Calibration, near: pd.Series, seed: int = 0) -> pd.DataFrame:
    """Rank the sources of a new target by expected loss, the best first; `near` is the closeness of each source to it.

    Returns columns source, closeness, gain (expected AUC minus the mean of these sources), low, high (95 %), p_best (probability
    of being the best of them), loss (AUC that one expects to lose by choosing it).
    """
    rng = np.random.default_rng(seed)
    mean = np.concatenate([[calibration.slope], calibration.effect])
    drawn = rng.multivariate_normal(mean, calibration.covariance, N_DRAWS, method="svd")
    places = pd.Index(calibration.sources).get_indexer(near.index)
    effects = np.where(places >= 0, drawn[:, 1 + np.maximum(places, 0)], 0.0)
    effects[:, places < 0] = rng.normal(0, calibration.effect_sd, (N_DRAWS, int((places < 0).sum())))
    aucs = drawn[:, :1] * (near - near.mean()).to_numpy() + effects + rng.normal(0, calibration.noise_sd, effects.shape)
    gain = aucs - aucs.mean(axis=1, keepdims=True)
    low, high = np.quantile(gain, [0.025, 0.975], axis=0)
    table = pd.DataFrame(
        {
            "source": near.index, "closeness": near.to_numpy(), "gain": gain.mean(axis=0), "low": low, "high": high,
            "p_best": np.bincount(aucs.argmax(axis=1), minlength=len(near)) / N_DRAWS,
            "loss": (aucs.max(axis=1, keepdims=True) - aucs).mean(axis=0),
        }
    )  # fmt: skip
    return table.sort_values("loss", kind="stable", ignore_index=True)


def check_modes(aucs: pd.DataFrame, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return `check` of every common mode, by the available `MEASURES`; empty with too few targets."""
    measures = [name for name in MEASURES if name in set(similarity["measure"])]
    parts = []
    for mode in shared_modes(aucs):
        try:
            parts.append(check(aucs[aucs["mode"] == mode], similarity, measures).assign(mode=mode))
        except ValueError as error:
            print(f"{mode}: not checked. {error}")
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*CHECK, "mode"])


def check(aucs: pd.DataFrame, similarity: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Leave out each known target in turn and rank its sources from the others: would the recommendation have been right?

    Returns columns target, advised (source), regret (AUC lost by following the recommendation), regret_imagenet (by always
    choosing ImageNet; NaN without it), regret_random (expected of a random choice), covered (share of sources whose AUC lies in
    its interval).
    """
    near = closeness(similarity, measures)
    means = aucs[aucs["source"] != "none"].groupby(["target", "source"])["auc"].mean()
    rows = []
    for target in means.index.get_level_values("target").unique():
        calibration = calibrate(aucs[aucs["target"] != target], near.drop(target, level="target", errors="ignore"))
        here = near[target].reindex(means[target].index).dropna()
        ranked, truth = rank(calibration, here), means[target][here.index]
        ends, gain = ranked.set_index("source").loc[here.index], truth - truth.mean()
        covered = ((ends["low"] <= gain) & (gain <= ends["high"])).mean()
        advised, regret = ranked["source"].iloc[0], truth.max() - truth
        rows.append((target, advised, regret[advised], regret.get("imagenet", np.nan), regret.mean(), covered))
    return pd.DataFrame(rows, columns=CHECK)
