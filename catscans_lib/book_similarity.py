"""What the book says of measures of similarity: what they are, and whether they predicted the transfer."""

from typing import Any

import pandas as pd

from catscans_lib import results

ASSOCIATIONS = [
    "mode", "target", "measure", "kind", "statistic", "value", "low", "high", "n", "p", "p_adjusted", "p_max",
]  # fmt: skip
CHECK = ["target", "advised", "regret", "regret_imagenet", "regret_random", "covered", "mode"]


def numbers(profile: str) -> dict[str, Any]:
    """Return the part of what the chapters are rendered with that is about measures.

    Returns
    -------
    dict
        ``measures`` (rows of title, closer, blind to, reference), ``predictions`` (mode to rows of title, kind, Spearman's
        rho with low, high and p_max, regret, accuracy over all targets, the best first), ``carried`` (mode to mean regret
        of each rule on targets left out), ``advice_check`` (mode to mean regrets and share covered).
    """
    names = results.finished(profile, "similarity")
    about = results.table(profile, "similarity", names[0], "measures") if names else pd.DataFrame()
    titles = dict(zip(about["measure"], about["title"], strict=True)) if names else {}
    found = results.optional(profile, "tables/associations.csv", columns=ASSOCIATIONS)
    carried = results.optional(profile, "tables/left_out.csv", columns=["mode", "rule", "regret"])
    check = results.optional(profile, "tables/advice_check.csv", columns=CHECK)
    return {
        "measures": about.rename(columns={"blind to": "blind_to"}).to_dict("records"),
        "predictions": {mode: _rows(here, titles) for mode, here in found.groupby("mode", sort=False)},
        "carried": {
            mode: here.groupby("rule", sort=False)["regret"].mean().sort_values().to_dict()
            for mode, here in carried.groupby("mode", sort=False)
        },
        "advice_check": {
            mode: here[["regret", "regret_imagenet", "regret_random", "covered"]].mean().to_dict() | {"n": len(here)}
            for mode, here in check.groupby("mode", sort=False)
        },
    }


def _rows(of_mode: pd.DataFrame, titles: dict[str, str]) -> list[dict[str, Any]]:
    """Spearman's rho, regret and accuracy over all targets of every measure and rule, the highest rho first."""
    from catscans_lib.transferability import BASELINES

    pooled = of_mode[of_mode["target"] == "all"].set_index(["measure", "statistic"])
    rows = []
    for measure, kind in pooled["kind"].groupby(level="measure", sort=False).first().items():
        rho = pooled.loc[(measure, "spearman")]
        others = {name: pooled.loc[(measure, name), "value"] for name in ("regret", "accuracy")}
        title = titles.get(measure, BASELINES.get(measure, measure))
        rows.append({"title": title, "kind": kind, **rho[["value", "low", "high", "p_max"]].to_dict(), **others})
    return sorted(rows, key=lambda row: (row["value"] != row["value"], -row["value"]))
