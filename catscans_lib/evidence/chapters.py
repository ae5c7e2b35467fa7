"""Numbers of the chapters about published results, from the finished run of `evidence.ipynb`."""

from typing import Any

import numpy as np
import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.errors import InputError
from catscans_lib.evidence import original, studies
from catscans_lib.evidence.contrasts import VARIES_SIZES, main, pooled
from catscans_lib.evidence.prediction import TRAINED_BEFORE
from catscans_lib.networks import registry
from catscans_lib.transferability.associations import ALL
from catscans_lib.transferability.similarity_tables import BASELINES

STEP = "evidence"
TABLES = (
    "contrasts", "summaries", "associations", "against", "limits", "repeatability", "by_size", "correlations",
    "random_draws", "noise_floor", "ranks", "own_aucs", "own_equal", "size_values", "by_backbone",
)  # fmt: skip
RULES = BASELINES | {TRAINED_BEFORE: "outcome of the same pair, trained in 2023"}


def numbers(profile: str) -> dict[str, Any] | None:
    """Return what the chapters print, from the run `evidence/all`; None without that run.

    Among them: studies (by name: its record `about`, the rows of its contrasts, its summary), summaries (by kind and group),
    predictions (by study: a row per score and rule over all targets), own (by study: `_own`), equal (by study: contrasts of
    sources of equal size, and their mean).
    """
    if not results.is_done(profile, f"{STEP}/all"):
        return None
    folder = paths.run_dir(profile, STEP, "all")
    if missing := [name for name in TABLES if not (folder / f"{name}.csv").is_file()]:
        raise InputError(
            f"{STEP}/all of profile {profile} lacks {', '.join(missing)}: other code made it. Make it again: "
            f"{results.SWEEP} {profile} {STEP}/all"
        )
    found = {name: pd.read_csv(folder / f"{name}.csv", dtype={"n_per_class": str}) for name in TABLES}
    described, titles = studies.described(), studies.titles()
    contrasts = found["contrasts"].assign(title=found["contrasts"]["target"])
    for table, first in ((contrasts, "title"), (found["own_equal"], "target"), (found["repeatability"], "target")):
        for column in {first, "natural", "medical"} & set(table):
            table[column] = [studies.printed(name, titles) for name in table[column]]
    for name, column in (("by_size", "title"), ("by_backbone", "title"), ("size_values", "target_title")):
        found[name][column] = found[name]["target"].replace(titles)
    networks = found["size_values"]["source"] + " (" + found["size_values"]["backbone"] + ")"
    found["size_values"]["source_title"] = [studies.printed(name, titles) for name in networks]
    found["size_values"]["study"] = described[VARIES_SIZES].title
    compared = main(contrasts)
    summaries = {kind: part.set_index("group").to_dict("index") for kind, part in found["summaries"].groupby("kind")}
    rows = {name: part.to_dict("records") for name, part in compared.groupby("study", sort=False)}
    return {
        "studies": {
            name: {"about": study, "rows": rows.get(name, []), "summary": summaries["study"].get(name)}
            for name, study in described.items()
        },
        "summaries": summaries,
        "counts": _counts(compared),
        "sizes": contrasts[contrasts["n_per_class"].notna()].to_dict("records"),
        "n_rows": sum(study.rows for study in described.values()),
        "predictions": (predictions := _predictions(found["associations"], found["against"], described)),
        "beat_rules": [row["title"] for rows in predictions.values() for row in rows if _beats(row["versus"])],
        "limits": found["limits"].set_index("evidence").to_dict("index"),
        **{name: found[name].to_dict("records") for name in ("repeatability", "by_size", "by_backbone", "size_values")},
        "original": _original(found, described[original.NAME]),
        "own": {name: _own(name, part) for name, part in found["own_aucs"].groupby("study")},
        "equal": {name: (part.to_dict("records"), pooled(part)) for name, part in found["own_equal"].groupby("study")},
    }


def _counts(contrasts: pd.DataFrame) -> dict[str, int]:
    """Count targets whose interval lies above 0 (natural better), below 0 (medical better), or that are open."""
    low, high = contrasts["low"], contrasts["high"]
    return {"all": len(low), "with_interval": low.count(), "natural": (low > 0).sum(), "medical": (high < 0).sum()}


def _beats(versus: dict[str, dict[str, Any]]) -> bool:
    """Return whether a score's tau is above that of every rule, by the intervals of the differences."""
    return bool(versus) and all(one["verdict"] == "better" for one in versus.values())


def _original(found: dict[str, pd.DataFrame], study: studies.Study) -> dict[str, Any]:
    """Return correlations (row by measure and pairs), spread (of r over random draws), published, ranks and floor (rows)."""
    correlations, r = found["correlations"], found["random_draws"]["r"]
    spread = {"mean": r.mean(), "sd": r.std(ddof=1), "low": r.quantile(0.025), "high": r.quantile(0.975), "n": len(r)}
    return {
        "correlations": {name: part.set_index("pairs").to_dict("index") for name, part in correlations.groupby("measure")},
        "spread": spread | {"share_below": (r < study.published["r"]).mean()},
        "published": study.published,
        "ranks": found["ranks"].replace({"source": datasets.titles()}).to_dict("records"),
        "floor": found["noise_floor"].replace(datasets.titles()).to_dict("records"),
    }  # fmt: skip


def _own(study: str, cells: pd.DataFrame) -> dict[str, Any]:
    """Return by mode the sources (titles by name) and the rows (a target each, with cells by source) of one of our studies.

    The title of a source says its network if most sources have another one.
    """
    networks = studies.read(study).drop_duplicates("source").set_index("source")["backbone"]
    others = networks[networks != networks.mode()[0]]
    said, modes = {source: f" ({registry.find(name).title})" for source, name in others.items()}, {}
    for (mode, target), part in cells.groupby(["mode", "target"]):
        of_mode = cells.loc[cells["mode"] == mode, "source"].to_numpy()
        sources = {name: title + said.get(name, "") for name, title in datasets.titles().items() if name in of_mode}
        counts = part.iloc[0][["n_images", "n_groups", "n_seeds"]].to_dict()
        row = vars(datasets.get(target)) | counts | {"cells": part.set_index("source").to_dict("index")}
        modes.setdefault(mode, {"sources": sources, "rows": []})["rows"].append(row)
    return modes


def _predictions(
    associations: pd.DataFrame, against: pd.DataFrame, described: dict[str, studies.Study]
) -> dict[str, list[dict[str, Any]]]:
    """Return by study a row per score and rule, largest tau first; versus has the difference in tau to each rule by its name."""
    kendall = against[against["statistic"] == "kendall"].groupby(["evidence", "measure"])
    lost = {pair: part.set_index("rule").to_dict("index") for pair, part in kendall}  # without a score that is all ties
    found: dict[str, list[dict[str, Any]]] = {}
    over_all = associations[associations["target"] == ALL]
    for (evidence, measure), part in over_all.groupby(["evidence", "measure"], sort=False):
        titles = RULES | described[evidence].scores | described[evidence].rules
        facts = {row["statistic"]: row for row in part.to_dict("records")}
        is_score = part["kind"].iloc[0] == "measure"
        versus = lost.get((evidence, measure), {})
        facts |= {"measure": measure, "title": titles.get(measure, measure), "is_score": is_score, "versus": versus}
        found.setdefault(evidence, []).append(facts | {"n": part["n"].iloc[0]})
    return {
        name: sorted(rows, key=lambda row: -np.nan_to_num(row["kendall"]["value"], nan=-2))
        for name, rows in found.items()
    }
