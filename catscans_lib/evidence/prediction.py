"""Does a published score find the better source or model? Every score of a study against the rules it has to beat."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from catscans_lib.evidence.studies import Study
from catscans_lib.statistics import ties
from catscans_lib.transferability import associations, differences, limits, similarity_tables

PAIR = ["source", "target"]
EARLIER, LATER = "scores_2023", "scores_2024"  # the same models and targets, trained twice
TRAINED_BEFORE = "trained_before"  # rule: the outcomes of the first training


class Panel(NamedTuple):
    """Outcomes, scores and rules of one study as `associations` takes them."""

    results: pd.DataFrame  # source, target, mode, fold, seed, auc (the study's metric, larger is better)
    scores: pd.DataFrame  # source, target, measure, value, larger_is_closer, uses_labels
    rules: pd.DataFrame


def panels(tables: dict[str, pd.DataFrame], studies: dict[str, Study]) -> Iterator[tuple[str, Panel]]:
    """Yield name and panel of every study with scores, on its medical targets; pairs of a dataset with itself are left out."""
    for name, study in studies.items():
        table = tables[name]
        is_asked = (table["mode"] == study.mode) & (table["source"] != table["target"])
        here = table[is_asked & (table["modality"] != "photographs")]
        probes = table[(table["mode"] == "linear_probe") & (table["mode"] != study.mode)]
        has_scores = here.groupby("target")[list(study.scores)].transform("count").gt(0).all(axis=1)
        if study.scores and has_scores.any():
            yield name, _panel(here[has_scores], probes, study, tables[EARLIER] if name == LATER else None)


def _panel(here: pd.DataFrame, probes: pd.DataFrame, study: Study, before: pd.DataFrame | None) -> Panel:
    filled = here.assign(fold=here["fold"].fillna(1), seed=here["seed"].fillna(0), auc=here["value"])
    pairs = here.drop_duplicates(PAIR)
    scores = _long(pairs, study.scores)
    scores["larger_is_closer"] = ~scores["measure"].isin(study.distances)
    scores["uses_labels"] = ~scores["measure"].isin(study.without_labels)
    facts = {"source_images": "n_images", "source_classes": "n_classes"}
    sources = pairs.drop_duplicates("source").rename(columns=facts)
    sources = sources[["source", *(column for column in facts.values() if column in sources)]]
    both = pd.concat([filled, probes[probes["target"].isin(filled["target"])].assign(auc=probes["value"])])
    rules = [similarity_tables.baselines(both, sources, scores), _long(pairs, study.rules)]
    if before is not None:
        rules.append(_long(before.assign(**{TRAINED_BEFORE: before["value"]}), {TRAINED_BEFORE: ""}))
    return Panel(filled[[*PAIR, "mode", "fold", "seed", "auc"]], scores, pd.concat(rules).assign(larger_is_closer=True))


def _long(pairs: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    return pairs[[*PAIR, *columns]].melt(PAIR, var_name="measure").dropna(subset="value")


def judged(panels: dict[str, Panel], n_draws: int, seed: int) -> dict[str, pd.DataFrame]:
    """Return over all targets associations, against (a score minus a rule) and limits; corrected for the scores of one study."""
    options = {"n_draws": n_draws, "seed": seed}
    found = {
        "associations": [associations.associations(*one, evidence=name, **options) for name, one in panels.items()],
        "against": [differences.against_rules(*one, evidence=name, **options) for name, one in panels.items()],
        "limits": [_limits(one).assign(evidence=name) for name, one in panels.items()],
    }
    return {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}


def _limits(panel: Panel) -> pd.DataFrame:
    """Return what `limits.limits` does, and seed_ceiling: the highest tau if only the seed, not the images, changed."""
    of_seeds = panel.results.assign(fold=panel.results["seed"])
    ceiling = limits.ceiling(associations.panel(of_seeds, panel.scores).results, "kendall")[1]
    return limits.limits(*panel[:2], "kendall").assign(seed_ceiling=ceiling, n_seeds=panel.results["seed"].nunique())


def repeatability(tables: dict[str, pd.DataFrame], studies: dict[str, Study]) -> pd.DataFrame:
    """Return how far the order of the models repeats when the same authors train the same pairs again.

    Columns target, what ("outcome" or a score), tau (Kendall, of 2023 and 2024), n, change (mean absolute), spread (of 2024).
    """
    one, other = (tables[name][tables[name]["mode"] == studies[name].mode] for name in (EARLIER, LATER))
    shared = [name for name in studies[EARLIER].scores if name in studies[LATER].scores]
    both = one.merge(other, on=PAIR, suffixes=("_one", "_other"))
    rows = []
    for target, part in both.groupby("target", sort=False):
        for column in ("value", *shared):
            x, y = (ties.merged(part[f"{column}_{which}"]) for which in ("one", "other"))
            rows.append((target, column, stats.kendalltau(x, y).statistic, len(part), np.abs(x - y).mean(), np.ptp(y)))
    table = pd.DataFrame(rows, columns=["target", "what", "tau", "n", "change", "spread"])
    return table.replace({"what": {"value": "outcome"}})
