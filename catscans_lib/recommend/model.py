"""Which source for a new target? AUCs of sources on known targets, and the scores of the candidates on the new one.

The model is that of `posterior`: on the logit scale, an AUC depends on the target's level, and, times a scale of the target, on
the source's family, the source itself and its score. What is expected on a new target is drawn from it and told as AUC.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

from catscans_lib.evaluation.tables import shared_modes
from catscans_lib.evidence import studies
from catscans_lib.recommend import known, posterior

# These look at the target through a source's network. Published tables have the last one in place of the AUC.
MEASURES = ("logme", "linear_probe_auc", "regularised_h_score", "sfda", "n_leep", "linear_probe_accuracy")
PROBES = ["linear_probe_auc", "linear_probe_accuracy"]
REGRETS = ["regret", "regret_imagenet", "regret_elsewhere", "regret_random", "regret_probe"]
CHECK = ["study", "target", "n", "advised", "best", *REGRETS, "covered", "p_advised", "p_best"]
CELL = ["study", "target"]
NETWORK = ["source", "backbone"]
N_REPEATS = 4  # new targets drawn with each draw from the posterior
CENTRAL = 0.94  # of the draws lie in a 95 % interval: so much covers 95 % in simulated studies (benchmarks/advice.py)
LEVEL, LEVEL_SD = 1.5, 0.5  # prior of a target's mean logit AUC: one target's worth of knowledge


@dataclass(frozen=True)
class Fit:
    """What the known targets say about sources, and how to place new candidates.

    `networks` and `families` name the columns of `draws.source` and `draws.family`. `units` is the standard deviation of each
    measure between the sources of a target, `lead` by how much ImageNet's score exceeds that of the others, in these units.
    `levels` has columns level (mean logit AUC) and probe (mean logit AUC of linear probes) of each known target. `merit_share` is
    the share of merit, against that of scores, in the variance of predictions between a target's sources.
    """

    measures: list[str]
    networks: list[tuple[str, str]]
    families: list[str]
    draws: posterior.Draws
    units: pd.Series
    lead: float
    levels: pd.DataFrame
    merit_share: float
    n_targets: int


def logit(auc: pd.Series) -> pd.Series:
    """Return the logarithm of the odds of an AUC, which is kept within .001 and .999."""
    return special.logit(auc.clip(0.001, 0.999))


def fit(evidence: pd.DataFrame, measures: Sequence[str] = MEASURES, seed: int = 0) -> Fit:
    """Fit the model to `known.evidence`; rows without any of the measures are left out, except those of source none.

    Raises ValueError with fewer than two targets that have two such sources.
    """
    measures = [name for name in measures if name in evidence and evidence[name].notna().any()]
    return _fit(_placed(evidence, measures), measures, _units(evidence, measures), seed)


def rank(fitted: Fit, candidates: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Rank the candidates for a new target by expected loss, the best first.

    `candidates` has columns source, family (one of `known.FAMILIES`; another name is a family of its own), backbone, and the
    scores of the new target; those without any score are left out, except source none. If no candidate has a score, each gets
    the typical one of its kind.

    Returns, with the index of `candidates`, columns source, closeness (mean of the scores, in standard deviations of the known
    ones, minus ImageNet's), gain (expected AUC minus the mean of the candidates), low, high (95 %), p_best (probability of being
    the best of them), loss (AUC that one expects to lose by choosing it).
    """
    here = _candidates(fitted, candidates)
    return _ranked(here, _aucs(fitted, here, np.random.default_rng(seed)))


def draws(fitted: Fit, candidates: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return draws of the candidates' AUCs on the new target, from which `rank` is made: a column per ranked candidate."""
    here = _candidates(fitted, candidates)
    return pd.DataFrame(_aucs(fitted, here, np.random.default_rng(seed)), columns=here["source"])


def check(evidence: pd.DataFrame, measures: Sequence[str] = MEASURES, seed: int = 0) -> pd.DataFrame:
    """Leave out each known target in turn and rank its sources from the others: would the advice have been right?

    Targets of the same images (`known.SAME_IMAGES`) are left out together, and a target is passed over if fewer than two others
    are left to learn from: the table is empty with two known targets. Returns columns study, target, n (number of sources),
    advised and best (the sources advised, and with the highest AUC); the AUC lost by five ways to choose a source: regret (the
    advice), regret_imagenet (ImageNet; of several networks, the best on the study's other targets), regret_elsewhere (the best
    source on those), regret_random, and regret_probe (the best linear probe), NaN where a way does not exist; covered (share of
    sources whose AUC lies in its interval); p_advised and p_best (how probable it seemed that these two are best).
    """
    measures = [name for name in measures if name in evidence and evidence[name].notna().any()]
    placed, units = _placed(evidence, measures), _units(evidence, measures)
    origins = placed["target"].replace(known.SAME_IMAGES)
    rows = []
    for (study, target), here in placed.groupby(CELL, sort=False):
        others = placed[origins != known.SAME_IMAGES.get(target, target)]
        if len(here) < 2 or _n_targets(others) < 2:
            continue
        fitted = _fit(others, measures, units, seed)
        aucs = _aucs(fitted, here, np.random.default_rng(seed), with_errors=True)
        ranked = _ranked(here, aucs).set_index("source").loc[here["source"]]
        truth = here.set_index("source")["auc"]
        gain, regret = truth - truth.mean(), truth.max() - truth
        advised, best = ranked["loss"].idxmin(), truth.idxmax()
        elsewhere = others[others["study"] == study]
        centred = elsewhere["auc"] - elsewhere.groupby("target")["auc"].transform("mean")
        merit = centred.groupby(elsewhere["source"]).mean().reindex(truth.index)
        probe = here.set_index("source").reindex(columns=PROBES).astype(float).bfill(axis=1).iloc[:, 0]
        imagenet = merit.fillna(-np.inf).where(here["family"].eq("imagenet").to_numpy())
        rules = [_lost(regret, rule) for rule in (imagenet, merit, truth * 0, probe)]
        covered = ((ranked["low"] <= gain) & (gain <= ranked["high"])).mean()
        odds = ranked.loc[[advised, best], "p_best"]
        rows.append((study, target, len(here), advised, best, regret[advised], *rules, covered, *odds))
    return pd.DataFrame(rows, columns=CHECK)


def known_check(evidence: pd.DataFrame, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """Return `check`: as shipped (`benchmarks/advice.py --ship` wrote it) if that is of the same evidence, else computed."""
    shipped = pd.read_csv(studies.folder() / "more" / "advice_check.csv")
    rows = shipped[shipped["evidence"] == digest(evidence, measures)]
    return rows[CHECK] if len(rows) else check(evidence, measures)


def digest(evidence: pd.DataFrame, measures: Sequence[str] = MEASURES) -> str:
    """Return a hash of what `check` depends on, apart from the code."""
    used = evidence[[*known.KEYS, *(name for name in measures if name in evidence)]]
    return hashlib.sha256(used.to_csv(index=False, float_format="%.6g").encode()).hexdigest()[:16]


def check_modes(aucs: pd.DataFrame, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return `check` of the common modes of a profile's tables, with a column mode; empty with fewer than three targets."""
    parts = [check(known.of_tables(aucs, similarity, mode)).assign(mode=mode) for mode in shared_modes(aucs)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*CHECK, "mode"])


def conclusion(fitted: Fit, checked: pd.DataFrame) -> list[str]:
    """Say what the advice rests on, and whether it beat always choosing ImageNet on the known targets, in a sentence each."""
    merit, score = "how good a source was on other targets", "how it scores on the new images"
    first, second = (merit, score) if fitted.merit_share >= 0.5 else (score, merit)
    share = max(fitted.merit_share, 1 - fitted.merit_share)
    rests = f"The advice rests mostly on {first} ({share:.0%} of the expected differences), not on {second}."
    both = checked.dropna(subset="regret_imagenet")
    if len(both) < 2:
        return [rests, "Whether it beats always ImageNet is not known: that needs three known targets with ImageNet."]
    saved, n = both["regret_imagenet"] - both["regret"], len(both)
    half = stats.t.ppf(0.975, n - 1) * saved.sem()
    n_imagenet = list(both["advised"].map(known.family)).count("imagenet")
    verdict = "it beats always ImageNet" if saved.mean() > half else "it does not beat always ImageNet"
    interval = f", 95 % of the difference {saved.mean() - half:+.3f} to {saved.mean() + half:+.3f}" * (n_imagenet < n)
    lost = f"lost {both['regret'].mean():.3f} AUC (always ImageNet {both['regret_imagenet'].mean():.3f}{interval})"
    known_ones = f"On {n} known targets, each left out in turn"
    return [rests, f"{known_ones}, {verdict}: it advised ImageNet on {n_imagenet} and {lost}."]


def interval(drawn: np.ndarray) -> np.ndarray:
    """Return the ends of the 95 % interval of each column of draws, shape (2, n_columns)."""
    return np.quantile(drawn, [(1 - CENTRAL) / 2, (1 + CENTRAL) / 2], axis=0)


def _lost(regret: pd.Series, values: pd.Series) -> float:
    """AUC lost by choosing the largest value; the mean over ties, NaN without values."""
    return float(regret[values == values.max()].mean())


def _n_targets(placed: pd.DataFrame) -> int:
    """Number of targets with two sources."""
    return int((placed.groupby(CELL).size() > 1).sum())


def _units(evidence: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Return the standard deviation of each measure between a target's sources, pooled, by study; NaN without differences."""
    values, study = evidence[measures].astype(float), evidence["study"]
    cells = values.groupby(_keys(evidence))
    freedom = values.groupby(study).count() - (cells.count() > 0).groupby("study").sum()
    squares = ((values - cells.transform("mean")) ** 2).groupby(study).sum()
    units = np.sqrt(squares / freedom.where(freedom > 0))
    return units.where(units > 1e-9 * values.abs().groupby(study).max()).loc[study.unique()]


def _closeness(values: pd.DataFrame, families: pd.Series, keys: list[pd.Series], lead: float) -> pd.Series:
    """Return the mean of measures in units, minus that of ImageNet on the target, or, without it, where it is expected.

    On a target without any value, all sources but ImageNet and random weights are `lead` below ImageNet; NaN elsewhere.
    """
    centred = (values - values.groupby(keys).transform("mean")).mean(axis=1)
    is_imagenet = families == "imagenet"
    means = [centred.where(rows).groupby(keys).transform("mean") for rows in (is_imagenet, ~is_imagenet)]
    level = families.isin(["imagenet", "none"])
    near = (centred - means[0].fillna(means[1] + lead)).mask((families == "none") & centred.isna(), 0.0)
    return near.where(centred.groupby(keys).transform("count") > 0, np.where(level, 0.0, -lead))


def _placed(evidence: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Evidence with its closeness, without the rows that have none."""
    units = _units(evidence, measures).loc[evidence["study"]].set_axis(evidence.index)
    values = evidence[measures].astype(float) / units
    lead = _lead(evidence.assign(closeness=_closeness(values, evidence["family"], _keys(evidence), np.nan)))
    near = _closeness(values, evidence["family"], _keys(evidence), lead)
    return evidence.assign(closeness=near)[near.notna()]


def _keys(table: pd.DataFrame) -> list[pd.Series]:
    return [table[key] for key in CELL]


def _lead(placed: pd.DataFrame) -> float:
    """By how much ImageNet's score exceeds that of other sources, in the mean; 0 without both."""
    return float(np.nan_to_num(-placed.loc[~placed["family"].isin(["imagenet", "none"]), "closeness"].mean()))


def _fit(placed: pd.DataFrame, measures: list[str], units: pd.DataFrame, seed: int) -> Fit:
    if _n_targets(placed) < 2:
        raise ValueError("Advice needs two known targets with AUCs and scores of two sources each. Run the sweep.")
    here = placed[placed.groupby(CELL)["source"].transform("size") > 1]
    targets = pd.MultiIndex.from_frame(here[CELL]).factorize()
    networks, families = pd.MultiIndex.from_frame(here[NETWORK]).factorize(), here["family"].factorize()
    y, x = logit(here["auc"]), here["closeness"]
    se = here["se"].fillna(0).to_numpy(float)
    data = posterior.Data(y.to_numpy(), se, x.to_numpy(), targets[0], networks[0], families[0])
    drawn = posterior.sample(data, seed)
    keys = _keys(here)
    merit = pd.Series(drawn.family.mean(axis=0)[families[0]] + drawn.source.mean(axis=0)[networks[0]], here.index)
    within = pd.DataFrame({"merit": merit, "score": drawn.slope.mean() * x}).groupby(keys).var().mean()
    probe = logit(here.reindex(columns=PROBES)["linear_probe_auc"].astype(float))
    levels = pd.DataFrame({"level": y, "probe": probe}).groupby(keys).mean()
    return Fit(
        measures=measures, networks=list(networks[1]), families=list(families[1]), draws=drawn, units=units.bfill().iloc[0],
        lead=_lead(here), levels=levels, merit_share=float(within["merit"] / within.sum()), n_targets=len(targets[1]),
    )  # fmt: skip


def _candidates(fitted: Fit, candidates: pd.DataFrame) -> pd.DataFrame:
    values = candidates.reindex(columns=fitted.measures).astype(float) / fitted.units
    near = _closeness(values, candidates["family"], [pd.Series(0, candidates.index)], fitted.lead)
    return candidates.assign(closeness=near)[near.notna()]


def _aucs(fitted: Fit, here: pd.DataFrame, rng: np.random.Generator, with_errors: bool = False) -> np.ndarray:
    """Draw AUCs, (n_draws, n_candidates), on a target like the known ones; `with_errors`: as measured with the errors `se`."""
    drawn, rows = fitted.draws, np.tile(np.arange(len(fitted.draws.slope)), N_REPEATS)
    sds, n = {name: sd[rows, None] for name, sd in drawn.sds.items()}, len(rows)
    family = _effects(drawn.family[rows], pd.Index(fitted.families), pd.Index(here["family"]), sds["family"], rng)
    networks = pd.MultiIndex.from_tuples(fitted.networks)
    source = _effects(drawn.source[rows], networks, pd.MultiIndex.from_frame(here[NETWORK]), sds["source"], rng)
    slope = drawn.slope[rows, None] + sds["slopes"] * rng.normal(size=(n, 1))
    merit = family + source + slope * here["closeness"].to_numpy() + sds["noise"] * rng.normal(size=(n, len(here)))
    merit = np.exp(sds["scales"] * rng.normal(size=(n, 1))) * (merit - merit.mean(axis=1, keepdims=True))
    logits = _level(fitted, here, rng, n)[:, None] + merit
    if with_errors:
        logits += here["se"].fillna(0).to_numpy(float) * rng.normal(size=merit.shape)
    return special.expit(logits)


def _effects(
    drawn: np.ndarray, names: pd.Index, wanted: pd.Index, sd: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draws of the effects of `wanted` names; one that is not known is drawn anew."""
    codes, unique = wanted.factorize()
    places = names.get_indexer(unique)
    new = sd * rng.normal(size=(len(drawn), len(unique)))
    return np.where(places >= 0, drawn[:, np.maximum(places, 0)], new)[:, codes]


def _level(fitted: Fit, here: pd.DataFrame, rng: np.random.Generator, n_draws: int) -> np.ndarray:
    """Draw the mean logit AUC of a new target: near that of its linear probes if they are known, else near the known levels."""
    probe = logit(here.reindex(columns=PROBES)["linear_probe_auc"].astype(float)).mean()
    has_probe = np.isfinite(probe) and fitted.levels["probe"].notna().any()
    base = probe if has_probe else LEVEL
    known_levels = (fitted.levels["level"] - (fitted.levels["probe"] if has_probe else LEVEL)).dropna()
    n = len(known_levels)
    squares = 2 * LEVEL_SD**2 + known_levels.var(ddof=0) * n + n / (n + 1) * known_levels.mean() ** 2
    sd = np.sqrt(squares / (n + 2) * (1 + 1 / (n + 1)))
    return base + known_levels.sum() / (n + 1) + sd * rng.standard_t(n + 2, n_draws)


def _ranked(here: pd.DataFrame, aucs: np.ndarray) -> pd.DataFrame:
    gain = aucs - aucs.mean(axis=1, keepdims=True)
    low, high = interval(gain)
    table = pd.DataFrame(
        {
            "source": here["source"].to_numpy(), "closeness": here["closeness"].to_numpy(), "gain": gain.mean(axis=0), "low": low,
            "high": high, "p_best": np.bincount(aucs.argmax(axis=1), minlength=len(here)) / len(aucs),
            "loss": (aucs.max(axis=1, keepdims=True) - aucs).mean(axis=0),
        },
        index=here.index,
    )  # fmt: skip
    return table.sort_values("loss", kind="stable")
