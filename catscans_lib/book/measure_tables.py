"""The measures of similarity as the book shows them: their table, their associations with the AUC."""

from typing import Any

import pandas as pd

from catscans_lib import results
from catscans_lib.grid import profiles
from catscans_lib.similarity import registry
from catscans_lib.transferability import associations, similarity_tables
from catscans_lib.transferability.similarity_tables import ABSENT, BASELINES

COLUMNS = {
    "associations": list(associations.COLUMNS),
    "against_rules": ["mode", "measure", "rule", "statistic", "value", "low", "high", "verdict"],
    "limits": ["mode", "n_targets", "detectable_apart", "detectable_alike", "reliability", "ceiling"],
    "advice_check": ["mode", "regret", "regret_imagenet", "regret_random", "covered"],
    "similarity": ["source", "target", "measure", "value", "larger_is_closer"],
}
NOISE = ["measure", "target", "n_draws", "noise", "self_distance", "distance"]
PROBLEMS = ["measure", "source", "target", "seed", "problem"]
N_OTHERS = 4  # measures beside the declared one that open the chapter, with the target's labels and without
Rows = list[dict[str, Any]]


def numbers(profile: str, modes: dict[str, str], primary: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of the chapters' templates about measures; `modes` maps modes to printed titles.

    ``leading`` are those of the ``measures`` that the page of similarity opens with, the primary one first; ``closest`` the
    sources closest to each target by the first of them. ``n_sources`` is the maximum per target (0: none). ``declared`` is
    `primary`, the block of the profile, with the measure's title. By mode: ``predictions`` (`_rows`), ``opening``, ``against``
    (the declared measure minus each rule), ``limits``, ``absent`` (rules that could not be used, and why) and ``advice_check``.
    """
    names = results.finished(profile, "similarity")
    about = results.table(profile, "similarity", names[0], "measures") if names else pd.DataFrame()
    titles = dict(zip(about["measure"], about["title"], strict=True)) if names else {}
    tables = {name: results.optional(profile, f"tables/{name}.csv", columns) for name, columns in COLUMNS.items()}
    found = tables["associations"]
    about = about[about["measure"].isin(registry.MEASURES)] if names else about  # older runs may have others
    records = [registry.get(name) for name in about.get("measure", [])]
    told = {"citation": [one.reference.split(",")[0] for one in records], "why": [one.why for one in records]}
    measures = about.rename(columns={"blind to": "blind_to"}).assign(**told).to_dict("records")
    predictions = {mode: _rows(here, titles) for mode, here in found.groupby("mode", sort=False)}
    measure, against = primary["measure"], tables["against_rules"]
    return {
        "measures": measures,
        **_similarity(profile, names, {row["measure"]: row for row in measures}),
        "declared": primary | {"measure_title": titles.get(measure) or registry.get(measure).title},
        "opening": {
            mode: _opening(rows, measure, against[against["mode"] == mode]) for mode, rows in predictions.items()
        },
        "against": {
            mode: _differences(here[here["measure"] == measure], primary["statistic"])
            for mode, here in against.groupby("mode", sort=False)
        },
        "absent": {
            mode: {BASELINES[rule]: why for rule, why in ABSENT.items() if rule not in {row["measure"] for row in rows}}
            for mode, rows in predictions.items()
        },
        "limits": tables["limits"].set_index("mode").to_dict("index"),
        "n_targets": int(found.loc[found["target"] != "all", "target"].nunique()),
        "predictions": predictions,
        "n_sources": int(found.loc[found["target"] != "all", "n"].max()) if len(found) else 0,
        "advice_check": {
            mode: here[["regret", "regret_imagenet", "regret_random", "covered"]].mean().to_dict() | {"n": len(here)}
            for mode, here in tables["advice_check"].groupby("mode", sort=False)
        },
    }


def _similarity(profile: str, names: list[str], measures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return ``leading``, ``closest``, ``problems`` and ``n_draws`` from the similarity runs with these names."""
    kinds = {"similarity": COLUMNS["similarity"], "noise": NOISE, "problems": PROBLEMS}
    tables = {}
    for kind, columns in kinds.items():
        parts = [results.optional(profile, f"similarity/{name}/{kind}.csv", columns)[columns] for name in names]
        filled = [part for part in parts if len(part)] or [pd.DataFrame(columns=columns)]
        tables[kind] = pd.concat(filled, ignore_index=True)
    noise, titles = tables["noise"].groupby("measure")[NOISE[2:]].mean(), profiles.titles(profile)
    primary = results.record(profile, f"similarity/{names[0]}")["parameters"].get("primary", "") if names else ""
    leading = [name for name in registry.leading(primary, noise.index) if name in measures]
    closer = similarity_tables.closer(tables["similarity"])
    closest = [
        {"target": titles[target], "sources": [titles[source] for _, source in here.index[here == here.max()]]}
        for target, here in (closer[leading[0]].groupby("target", sort=False) if leading else ())
    ]
    problems = similarity_tables.told(tables["problems"])
    n_draws = int(noise["n_draws"].max()) if len(noise) else 0
    rows = [measures[name] | noise.loc[name].to_dict() for name in leading]
    return {"leading": rows, "closest": closest, "problems": problems, "n_draws": n_draws}


def _opening(rows: Rows, declared: str, against: pd.DataFrame) -> Rows:
    """Return the declared measure, then those of highest rho with and without labels; `rival` is the rule each has to beat.

    A measure that uses the target's labels has to beat the linear probe, which uses them too; one that does not, the source that
    was best on the other targets.
    """
    measures = [row for row in rows if row["kind"] == "measure" and row["measure"] != declared]
    chosen = [row for row in rows if row["measure"] == declared]
    for uses_labels in (True, False):
        chosen += [row for row in measures if row["uses_labels"] == uses_labels][:N_OTHERS]
    lost = against[against["statistic"] == "regret"].set_index(["measure", "rule"])
    for row in chosen:
        rule = "linear_probe" if row["uses_labels"] else "best_elsewhere"
        pair = row["measure"], rule
        row["rival"] = lost.loc[pair].to_dict() | {"title": BASELINES[rule]} if pair in lost.index else None
    return chosen


def _differences(against: pd.DataFrame, statistic: str) -> Rows:
    """Return a row per rule: title, and value, low, high, verdict of `statistic` and of regret (None without a value)."""
    found = against.set_index(["rule", "statistic"])[["value", "low", "high", "verdict"]].to_dict("index")
    return [
        {"title": BASELINES[rule], "agreement": found.get((rule, statistic)), "regret": found.get((rule, "regret"))}
        for rule in dict.fromkeys(against["rule"])
    ]


def _rows(of_mode: pd.DataFrame, titles: dict[str, str]) -> Rows:
    """Return Spearman's rho, regret and accuracy over all targets of every measure and rule, the highest rho first."""
    pooled = of_mode[of_mode["target"] == "all"].set_index(["measure", "statistic"])
    rows = []
    for measure in dict.fromkeys(pooled.index.get_level_values("measure")):
        rho, lost = pooled.loc[(measure, "spearman")], pooled.loc[(measure, "regret")]
        row = rho[["kind", "value", "low", "high", "p", "p_max"]].to_dict()
        row |= {"measure": measure, "title": titles.get(measure, BASELINES.get(measure, measure))}
        row |= {"uses_labels": bool(rho["uses_labels"]), "n": int(rho["n"])}
        row |= {"regret": lost["value"], "regret_low": lost["low"], "regret_high": lost["high"]}
        rows.append(row | {"accuracy": pooled.loc[(measure, "accuracy"), "value"]})
    return sorted(rows, key=lambda row: (row["value"] != row["value"], -row["value"]))
