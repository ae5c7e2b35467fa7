"""Natural against medical sources: one difference per study and target, with the interval that the study's repeats allow."""

import numpy as np
import pandas as pd
from scipy import stats

from catscans_lib.evidence.studies import OWN, Study

REPEATS = {"folds": "fold", "seeds": "seed"}  # column of a study's repeats
METHODS = {
    "folds": "corrected t over folds", "seeds": "t over seeds", "interval": "published intervals", "none": "no repetition"
}  # fmt: skip
NATURAL, MEDICAL = "natural", "medical"
SUMMARY = ("mean", "low", "high", "prediction_low", "prediction_high", "tau", "i2")
SIZES = ("up to 1,000", "1,000 to 10,000", "more than 10,000", "not stated")  # training images
SIZE, ALL_IMAGES, VARIES_SIZES = "n_per_class", "all", "xray_scale"  # column; its last value; the study that varies it
SMALLEST = 3  # differences that a random-effects mean needs


def contrasts(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Compare natural with medical sources on every medical target of one study, in the mode it declares.

    The best of several sources is too good if it is chosen on the numbers it is judged by. Each side is therefore represented
    by the source (and backbone) that was best elsewhere: on the other folds or seeds of the same target, or, in a study without
    repeats, on its other targets (mean outcome relative to the target's mean). Sources that are known to hold images or patients
    of the target are left out, and in a study of one network sources with another one.

    Returns columns study, target, modality, metric, mode, n_train (median over folds; NaN: not stated), the study's own keys,
    natural and medical (the source most often chosen), difference (natural minus medical), low, high (95 %), se (all three NaN
    without repetition), n (repeats), method, best_of_each (difference of the two maxima, as most papers report it) and n_medical
    (candidates). Empty for a study with one kind of source.
    """
    here = table[(table["mode"] == study.mode) & (table["modality"] != "photographs") & (table["overlap"] != "known")]
    here = here[here["source_kind"].isin((NATURAL, MEDICAL))]
    if study.of_one_network:
        here = here[here.groupby("backbone")["source_kind"].transform("nunique") == 2]
    several = here.groupby("source")["backbone"].transform("nunique") > 1
    here = here.assign(candidate=here["source"].where(~several, here["source"] + " (" + here["backbone"] + ")"))
    kinds, rows = here.drop_duplicates("candidate").set_index("candidate")["source_kind"], []
    if kinds.nunique() < 2:
        return pd.DataFrame()
    means = here.groupby(["target", "candidate"])["value"].mean().unstack()
    centred = means.sub(means.mean(axis=1), axis=0)
    keys = ["target", "modality", "metric", *study.keys]
    for of_keys, part in here.groupby(keys, sort=False):
        repeat = part[REPEATS[study.repeats]] if study.repeats in REPEATS else pd.Series(0, part.index)
        wide = part.assign(repeat=repeat).pivot_table("value", "repeat", "candidate")  # folds: means over seeds
        elsewhere = centred.drop(index=of_keys[0]).mean()
        chosen = pd.DataFrame([_choice(wide, one, elsewhere, kinds) for one in wide.index], index=wide.index)
        if chosen.notna().all(axis=None):
            best = {kind: wide.mean()[wide.columns[kinds[wide.columns] == kind]].max() for kind in (NATURAL, MEDICAL)}
            facts = {kind: chosen[kind].mode()[0] for kind in (NATURAL, MEDICAL)}
            facts |= {"n_train": part["n_train"].median(), "best_of_each": best[NATURAL] - best[MEDICAL]}
            facts |= {"n_medical": (kinds[wide.columns] == MEDICAL).sum(), **dict(zip(keys, of_keys, strict=True))}
            rows.append(facts | _interval(wide, chosen, part.set_index("candidate"), study))
    return pd.DataFrame(rows).assign(study=table["study"].iloc[0], mode=study.mode, method=METHODS[study.repeats])


def of_all(tables: dict[str, pd.DataFrame], studies: dict[str, Study]) -> pd.DataFrame:
    """Concatenate the contrasts of all studies; n_per_class is NaN where a study does not vary it."""
    return pd.concat([contrasts(tables[name], study) for name, study in studies.items()], ignore_index=True)


def main(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return one row per study and target: where a study varies the number of training images, that with all images."""
    return contrasts[contrasts[SIZE].isna() | (contrasts[SIZE] == ALL_IMAGES)]


def _choice(wide: pd.DataFrame, repeat: float, elsewhere: pd.Series, kinds: pd.Series) -> dict[str, str | None]:
    """Return the natural and the medical candidate that were best elsewhere, among those with a value in this repeat."""
    others, found = wide.drop(index=repeat).mean() if len(wide) > 1 else elsewhere, {}
    present = wide.columns[wide.loc[repeat].notna()]
    for kind in (NATURAL, MEDICAL):
        names = present[kinds[present] == kind]
        known = others.reindex(names).dropna()
        found[kind] = names[0] if len(names) == 1 else known.idxmax() if len(known) else None
    return found


def _interval(wide: pd.DataFrame, chosen: pd.DataFrame, rows: pd.DataFrame, study: Study) -> dict[str, float]:
    """Return difference, low, high, se and n of one target."""
    differences = np.array([wide.loc[at, row[NATURAL]] - wide.loc[at, row[MEDICAL]] for at, row in chosen.iterrows()])
    n = len(wide)
    mean, se, t = differences.mean(), np.nan, stats.norm.ppf(0.975)
    if study.repeats in REPEATS and n > 1:
        shared = 1 / (n - 1) if study.repeats == "folds" else 0  # held-out images per training image: folds share those
        t, se = stats.t.ppf(0.975, n - 1), differences.std(ddof=1) * np.sqrt(1 / n + shared)
    elif study.repeats == "interval":  # two models share test images, so the sum of variances is rather too large
        se = np.hypot(*(rows.loc[name, "high"] - rows.loc[name, "low"] for name in chosen.iloc[0])) / 2 / t
    return {"difference": mean, "low": mean - t * se, "high": mean + t * se, "se": se, "n": n}


def pooled(contrasts: pd.DataFrame) -> dict[str, float]:
    """Return the random-effects mean of differences with standard errors, and how much they differ beyond them.

    Paule and Mandel's variance between targets, Hartung and Knapp's interval: k (targets), mean, low, high; prediction_low and
    prediction_high, where the difference of a further target lies in 95 % of cases; tau (standard deviation between targets), i2
    (share of the variance that is heterogeneity). All NaN but k with fewer than three. Targets of a study share sources and count
    as independent, so intervals are rather too short. Higgins, Thompson and Spiegelhalter (2009), JRSS A 172(1).
    """
    from statsmodels.stats.meta_analysis import combine_effects  # takes a second to load

    known = contrasts.dropna(subset="se")
    k = len(known)
    if k < SMALLEST:
        return {"k": k} | dict.fromkeys(SUMMARY, np.nan)
    effect, variance = known["difference"].to_numpy(), known["se"].to_numpy() ** 2
    found = combine_effects(effect, variance, method_re="iterated")
    mean, tau2, se = found.mean_effect_re, max(found.tau2, 0), found.sd_eff_w_re_hksj
    reach = stats.t.ppf(0.975, k - 1) * se, stats.t.ppf(0.975, k - 2) * np.sqrt(tau2 + se**2)
    limits = [mean - reach[0], mean + reach[0], mean - reach[1], mean + reach[1]]
    return {"k": k} | dict(zip(SUMMARY, (mean, *limits, np.sqrt(tau2), max(found.i2, 0)), strict=True))


def summaries(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Summarise groups of differences, one row per group; `contrasts` has a row per study and target.

    Columns kind and group: every study by itself; `alike` (`fine-tuned`: whole networks; `frozen`: linear heads; `all AUCs`); for
    fine-tuned networks, every modality, every class of n_train, and `without` one study after the other. Our own runs, whose
    sources differ a thousandfold in size, are in none of these. n and n_higher (targets; those with a difference above 0),
    unweighted (mean over them), and the columns of `pooled`, from those with intervals.
    """
    published = contrasts[~contrasts["study"].str.startswith(OWN)]
    aucs = published[published["metric"].isin(("auc", "macro_auc"))]
    tuned = aucs[aucs["mode"] == "fine_tune"]
    sizes = pd.cut(tuned["n_train"], [0, 1000, 10000, np.inf], labels=list(SIZES[:3])).astype(object).fillna(SIZES[3])
    groups = [("study", name, part) for name, part in contrasts.groupby("study", sort=False)]
    groups += [("alike", "fine-tuned", tuned), ("alike", "frozen", aucs.drop(tuned.index)), ("alike", "all AUCs", aucs)]
    groups += [("modality", name, part) for name, part in tuned.groupby("modality", sort=False)]
    groups += [("size", name, tuned[sizes == name]) for name in SIZES]
    with_interval = tuned.dropna(subset="se")
    groups += [("without", name, tuned[tuned["study"] != name]) for name in with_interval["study"].unique()]
    rows = []
    for kind, name, part in groups:
        found = part["difference"]
        facts = {"kind": kind, "group": name, "n": len(part), "n_higher": (found > 0).sum(), "unweighted": found.mean()}
        rows.append(facts | pooled(part))
    return pd.DataFrame(rows)


def by_size(table: pd.DataFrame) -> pd.DataFrame:
    """Return target, n_per_class, n_sources, n_seeds, sd (median over sources of the standard deviation over seeds) and tau.

    tau is Kendall's between the order of the sources (and backbones) at this size and with all images. Sizes ascend.
    """
    rows = []
    for target, here in table.groupby("target", sort=False):
        cells = here.groupby([SIZE, "source", "backbone"])["value"]
        means, sds = cells.mean().unstack(SIZE), cells.std().unstack(SIZE)
        for size in sorted(means, key=lambda size: np.inf if size == ALL_IMAGES else float(size)):
            tau = means[size].corr(means[ALL_IMAGES], method="kendall") if size != ALL_IMAGES else np.nan
            n_seeds = int(cells.size().unstack(SIZE)[size].max())
            rows.append((target, size, int(means[size].notna().sum()), n_seeds, sds[size].median(), tau))
    return pd.DataFrame(rows, columns=["target", SIZE, "n_sources", "n_seeds", "sd", "tau"])
