"""How much of an AUC is chance: its variance by source, pretraining seed, transfer seed, fold and held-out images.

Random weights are no source and take no part. Trainings that did not learn do: they are chance, too.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from catscans_lib.evaluation.intervals import LEVEL
from catscans_lib.statistics import components, paired_tests

RUN = ["source", "target", "mode", "pretrain_seed", "fold", "seed"]
WORDS = {
    "source": "source", "pretrain_seed": "pretraining seed", "transfer_seed": "transfer seed", "rest": "transfer seed and rest",
    "images": "held-out images", "fold": "rest of the fold",
}  # fmt: skip
COMPONENTS = ["target", "mode", "component", "sd", "low", "high", "share", "n_levels", "variance"]
DIFFERENCES = [
    "target", "mode", "source_a", "source_b", "difference", "low", "high", "p", "p_adjusted", "n_a", "n_b", "first", "verdict",
]  # fmt: skip
TAILS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]


def split(aucs: pd.DataFrame, draws: pd.DataFrame, *, n_draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return the standard deviation of the AUC by component, for every target and mode.

    `aucs` has the columns `RUN` and auc, `draws` the same runs (index) in bootstrap draws of groups of held-out images.
    Components: source; pretrain_seed, another network of a source; transfer_seed, another training of a network on the same
    images; images, other held-out images (from the bootstrap); fold, what else differs between folds, so other training
    images, also where it favours a source or a network. With one transfer seed, "rest" stands for it, which also holds what
    fold and network do together; a component of one level is NaN.

    low and high are 95 % (`components`; for images Student's t over folds), share is that of the sum of all components. Where
    variance, the unbiased estimate, is below 0, sd and share are 0: the component cannot be told from none.
    """
    rows = []
    aucs = aucs[aucs["source"] != "none"]
    for (target, mode), here in aucs.groupby(["target", "mode"], sort=False):
        network = here.groupby(["source", "pretrain_seed"]).ngroup()
        source, fold = here.groupby("source").ngroup(), here["fold"].to_numpy()
        terms = [source, network, fold, here.groupby(["source", "fold"]).ngroup()]
        repeats = here["seed"].nunique() > 1
        terms += [here.groupby(["source", "pretrain_seed", "fold"]).ngroup()] if repeats else []
        estimated, of_draws = components.estimated(here["auc"], np.stack(terms), n_draws=n_draws, seed=seed)
        last = "transfer_seed" if repeats else "rest"
        values, drawn = ({"source": of[0], "pretrain_seed": of[1], last: of[-1]} for of in (estimated, of_draws))
        images = _of_images(draws.xs((target, mode), level=["target", "mode"]).loc[here["source"].unique()])
        error = images.std(ddof=1) / np.sqrt(len(images))
        values["images"] = images.mean()
        chance = np.random.default_rng(seed).standard_t(max(1, len(images) - 1), n_draws)
        drawn["images"] = np.maximum(images.mean() + error * chance, 0)
        values["fold"] = np.nansum(estimated[2:-1]) - values["images"]
        drawn["fold"] = np.maximum(np.nansum(of_draws[2:-1], axis=0) - drawn["images"], 0)
        levels = {"source": source.nunique(), "pretrain_seed": network.nunique(), "fold": len(images)}
        levels |= {last: here["seed"].nunique(), "images": round(here.groupby("fold")["n_images"].max().mean())}
        whole = np.nansum([max(value, 0) for value in values.values()])
        for name, value in values.items():
            low, high = np.sqrt(np.quantile(drawn[name], TAILS))
            known = max(value, 0) if np.isfinite(value) else np.nan
            rows.append((target, mode, name, known**0.5, low, high, known / whole, levels[name], value))
    return pd.DataFrame(rows, columns=COMPONENTS)


def _of_images(draws: pd.DataFrame) -> np.ndarray:
    """Return the variance of an AUC over draws of held-out images that all seeds of a network share, by fold.

    It is the covariance of two seeds of a network on one fold, mean over networks: what differs between them belongs to the
    seeds. With one seed, it is the variance.
    """
    rows = []
    for (fold, *_), part in draws.groupby(["fold", "source", "pretrain_seed"]):
        drawn = part.to_numpy()
        drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
        n, own = len(drawn), drawn.var(axis=1, ddof=1).sum()
        rows.append((fold, own if n == 1 else (drawn.sum(axis=0).var(ddof=1) - own) / (n * (n - 1))))
    return pd.DataFrame(rows, columns=["fold", "value"]).groupby("fold")["value"].mean().to_numpy()


def differences(aucs: pd.DataFrame, primary: pd.DataFrame) -> pd.DataFrame:
    """Return the difference of every two sources with its 95 % interval over pretraining seeds, for every target and mode.

    The unit is a network: its mean AUC over folds and transfer seeds. Pretraining seeds have one variance, pooled over the
    sources of a target (Student's t). Published weights and random weights are one network each, which cannot be repeated:
    they count as given, and two of them have no row. `primary` are comparisons of first networks (`inference.comparisons`).
    n_a and n_b are networks, p_adjusted is Holm's over the pairs of a target and mode, first is the primary test's verdict on the
    first networks: "known", "equivalent" or "open". verdict: "a" or "b", the better source, if p_adjusted < 5 %, else "open".
    """
    first = {
        (row.target, row.mode, frozenset((row.source_a, row.source_b))): row.verdict for row in primary.itertuples()
    }
    parts = []
    for (target, mode), here in aucs.groupby(["target", "mode"], sort=False):
        networks = here.groupby(["source", "pretrain_seed"], sort=False)["auc"].mean().groupby("source", sort=False)
        means, counts = networks.mean(), networks.size()
        n_free = (counts - 1).sum()
        if not n_free:
            continue
        pooled = (networks.var(ddof=1).fillna(0) * (counts - 1)).sum() / n_free
        rows = []
        for one, other in combinations(means.index, 2):
            error = np.sqrt(pooled * sum(1 / counts[name] for name in (one, other) if counts[name] > 1))
            if error:
                apart = means[one] - means[other]
                reach, p = error * stats.t.ppf(TAILS[1], n_free), 2 * stats.t.sf(abs(apart) / error, n_free)
                numbers = (apart, apart - reach, apart + reach, p, counts[one], counts[other])
                said = first.get((target, mode, frozenset((one, other))), "")
                rows.append((target, mode, one, other, *numbers, "known" if said in ("a", "b") else said))
        table = pd.DataFrame(rows, columns=[name for name in DIFFERENCES if name not in ("p_adjusted", "verdict")])
        table["p_adjusted"] = paired_tests.holm(table["p"])
        better = np.where(table["difference"] > 0, "a", "b")
        parts.append(table.assign(verdict=np.where(table["p_adjusted"] < 1 - LEVEL, better, "open"))[DIFFERENCES])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=DIFFERENCES)
