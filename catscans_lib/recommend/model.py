"""Which source for a new target? What measures say of it, calibrated on targets whose AUCs are known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from catscans_lib.evaluation.tables import shared_modes

MEASURES = (
    "logme",
    "linear_probe_auc",
    "regularised_h_score",
    "sfda",
    "n_leep",
)  # look at the target by a source's network
CHECK = ["target", "advised", "regret", "regret_imagenet", "regret_random", "covered"]
N_DRAWS = 20_000
SHARES = np.linspace(
    0, 0.95, 20
)  # of the variance that sources have in common over targets, from which the likeliest is taken
WIDE = 10.0  # prior sd of the slope, in units of the residuals' sd per sd of the measures: no opinion


@dataclass(frozen=True)
class Calibration:
    """How AUCs follow the measures: ``auc - target's mean = slope * closeness + source's own effect + noise``.

    Attributes
    ----------
    slope, slope_sd : float
        AUC per standard deviation of `closeness`.
    sources : list of str
        Sources with a known AUC.
    effect : numpy.ndarray of float, shape (n_sources,)
        Mean of what each source has beyond its measures on every target, shrunk to 0.
    covariance : numpy.ndarray of float, shape (1 + n_sources, 1 + n_sources)
        Posterior covariance of the slope and the effects.
    effect_sd, noise_sd : float
        Between sources, and what is left.
    n_targets : int
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
    """How close every source is to a target: the mean over measures of z-scores within the target, larger being closer.

    Parameters
    ----------
    similarity : pandas.DataFrame
        Columns source, target, measure, value, larger_is_closer; seeds are averaged. Rows whose source is the target (noise
        floors) are left out.
    measures : list of str
        Those that count; one that is the same for all sources says nothing.

    Returns
    -------
    pandas.Series
        Indexed by target and source.
    """
    here = similarity[similarity["measure"].isin(measures) & (similarity["source"] != similarity["target"])]
    signed = here["value"].where(here["larger_is_closer"].astype(bool), -here["value"])
    means = signed.groupby([here["target"], here["source"], here["measure"]]).mean().unstack("measure")
    by_target = means.groupby(level="target")
    spread = by_target.transform("std").replace(0.0, np.nan)
    return ((means - by_target.transform("mean")) / spread).mean(axis=1).fillna(0.0)


def calibrate(aucs: pd.DataFrame, near: pd.Series) -> Calibration:
    """Fit the calibration to all targets whose AUCs are known.

    A Bayesian linear model: the share of variance that belongs to sources is the likeliest of a grid, the rest follows in
    closed form. With few targets the effects of sources are shrunk strongly.

    Parameters
    ----------
    aucs : pandas.DataFrame
        Columns source, target, auc of one mode; folds and seeds are averaged, random weights are no source.
    near : pandas.Series
        As `closeness` returns it.

    Raises
    ------
    ValueError
        If fewer than two targets, or fewer than three sources on one, have both.
    """
    y, x, codes, sources, n_targets = _points(aucs, near)
    slopes = np.column_stack([x, np.eye(len(sources))[codes]])
    best = None
    for share in SHARES:
        prior = np.concatenate([[1 / WIDE**2], np.full(len(sources), (1 - share) / max(share, 1e-6))])
        precision = slopes.T @ slopes + np.diag(prior)
        mean = np.linalg.solve(precision, slopes.T @ y)
        error = float(y @ y - mean @ precision @ mean)
        n = len(y) - n_targets  # a mean was taken out of every target
        evidence = (np.log(prior).sum() - np.linalg.slogdet(precision)[1] - n * np.log(error / n)) / 2
        if best is None or evidence > best[0]:
            best = (evidence, mean, np.linalg.inv(precision) * error / n, share, np.sqrt(error / n))
    _, mean, covariance, share, noise = best
    effect_sd = noise * np.sqrt(share / (1 - share))
    return Calibration(
        float(mean[0]),
        float(np.sqrt(covariance[0, 0])),
        sources,
        mean[1:],
        covariance,
        float(effect_sd),
        float(noise),
        n_targets,
    )


def _points(aucs: pd.DataFrame, near: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str], int]:
    """AUC and closeness, both without their target's mean, number of the source, sources, number of targets."""
    means = aucs[aucs["source"] != "none"].groupby(["target", "source"])["auc"].mean()
    table = pd.DataFrame({"auc": means, "near": near}).dropna()
    sizes = table.groupby(level="target").size()
    if len(sizes) < 2 or sizes.min() < 3:
        raise ValueError(
            f"A calibration needs two targets with AUCs of three sources each; there are {sizes.to_dict() or 'none'}. "
            "Run the sweep and its similarity runs first."
        )
    table -= table.groupby(level="target").transform("mean")
    sources = sorted(table.index.get_level_values("source").unique())
    codes = pd.Index(sources).get_indexer(table.index.get_level_values("source"))
    return table["auc"].to_numpy(), table["near"].to_numpy(), codes, sources, len(sizes)


def advise(calibration: Calibration, near: pd.Series, seed: int = 0) -> pd.DataFrame:
    """Rank the sources of a new target.

    Parameters
    ----------
    near : pandas.Series
        Closeness of each source to the new target, indexed by source.

    Returns
    -------
    pandas.DataFrame
        Columns source, closeness, gain (expected AUC minus the mean of these sources), low, high (95 %), p_best (probability of
        being the best of them), loss (expected AUC that is lost by taking it), the best first by expected loss.
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


def check_of_modes(aucs: pd.DataFrame, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return `held_out_check` of every common mode, by those of `MEASURES` that there are; empty without enough targets."""
    measures = [name for name in MEASURES if name in set(similarity["measure"])]
    parts = []
    for mode in shared_modes(aucs):
        try:
            parts.append(held_out_check(aucs[aucs["mode"] == mode], similarity, measures).assign(mode=mode))
        except ValueError as error:
            print(f"{mode}: not checked. {error}")
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*CHECK, "mode"])


def held_out_check(aucs: pd.DataFrame, similarity: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Leave out each known target in turn, and advise on it from the others: would the advice have been right?

    Returns
    -------
    pandas.DataFrame
        Columns target, advised (source), regret (AUC lost by following the advice), regret_imagenet (by always taking ImageNet;
        NaN without it), regret_random (of a random choice, expected), covered (share of sources with the AUC in the interval).
    """
    near = closeness(similarity, measures)
    means = aucs[aucs["source"] != "none"].groupby(["target", "source"])["auc"].mean()
    rows = []
    for target in means.index.get_level_values("target").unique():
        calibration = calibrate(aucs[aucs["target"] != target], near.drop(target, level="target", errors="ignore"))
        truth = means[target]
        here = near[target].reindex(truth.index).dropna()
        told, truth = advise(calibration, here), truth[here.index]
        advised, ends = told["source"].iloc[0], told.set_index("source").loc[here.index]
        gain = truth - truth.mean()
        covered = ((ends["low"] <= gain) & (gain <= ends["high"])).mean()
        regret = truth.max() - truth
        imagenet = regret.get("imagenet", np.nan)
        rows.append((target, advised, regret[advised], imagenet, regret.mean(), covered))
    return pd.DataFrame(rows, columns=CHECK)
