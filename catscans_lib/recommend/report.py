"""From a folder of images to a report: which source to start from, the evidence for it, and when not to trust it."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.datasets import own
from catscans_lib.errors import InputError
from catscans_lib.recommend import Recommend, known, model
from catscans_lib.transferability import Study, similarity_tables

if TYPE_CHECKING:
    from catscans_lib.transferability import compute

FEW_IMAGES = 20  # of a class; with fewer, no measure is reliable
FAR_MEASURE = "mmd_rbf"  # distance that detects images unlike all known ones


def recommend(
    place: Path, study: Study, *, mode: str | None = None, measures: list[str] | None = None, n_images: int = 500, seed: int = 0,
    weights: Sequence[Path] = (), **card: Any,
) -> dict[str, Any]:  # fmt: skip
    """Rank the sources of a profile for a user's own images, without training on them.

    Parameters
    ----------
    place : pathlib.Path
        A folder with one folder per class, a CSV with columns path and label, or an .npz in MedMNIST's format.
    mode : str, optional
        "fine_tune" or "linear_probe": how the source will be used; None: the first mode of the profile.
    measures : list of str, optional
        Measures that the ranking uses; None: those of `model.MEASURES` that the profile has values of.
    n_images, seed : int
        At most so many images are drawn, from each class by its share. The seed is also that of the intervals' draws.
    weights : sequence of pathlib.Path
        Files with other weights of the profile's network, ranked as further sources under their file names.
    **card
        Further fields of an `OwnCard`: columns, patterns, group.

    Returns
    -------
    dict
        Plain values: place, profile, demo (True: its images are generated), mode, n_images, classes (number of images used of
        each), n_groups (None: unknown), measures, advice (rows of `model.rank`, with title), evidence (slope, slope_sd,
        n_targets, merit_sd, score_sd; in logits), conclusion (what the advice rests on), check (rows of `model.check`), warnings
        (sentences; also each measure that failed, with its reason, and each source that no measure ranks). InputError if the
        images cannot be read, no measure has a value, or the profile has no results to learn from (names the command that makes
        them).
    """
    mode = mode or str(results.optional(study.profile, "tables/aucs.csv", ["mode"])["mode"].get(0, "fine_tune"))
    evidence = known.of_profile(study.profile, mode)
    similarity = results.optional(study.profile, "tables/similarity.csv")
    measures = _measures(measures, set(similarity["measure"]))
    sources = sorted(set(similarity["source"]) & set(evidence["source"]))
    owned = own.card_at(place, **card)
    listing, files = owned.read(place.parent), _named(weights, sources)
    (found, _, problems), facts = _measured(listing, study, sources, measures, n_images, seed, files)
    failed = similarity_tables.told(problems)
    if not found["measure"].isin(measures).any():
        raise InputError("No source can be ranked: no measure has a value.\n" + "\n".join(failed))
    try:
        fitted = model.fit(evidence, measures)
    except ValueError as error:
        raise InputError(f"Profile {study.profile}: {error}") from error
    check = model.check(evidence, measures) if fitted.n_targets > 2 else pd.DataFrame(columns=model.CHECK)
    table = model.rank(fitted, _candidates(found, evidence), seed)
    table.insert(1, "title", table["source"].map(study.titles).fillna(table["source"]))
    if not (card.get("group_column") or card.get("group_pattern")):
        facts["n_groups"] = None
    told = {
        "place": str(place), "profile": study.profile, "demo": study.is_demo, "mode": mode, **facts, "measures": measures,
        "advice": table.to_dict("records"), "evidence": _numbers(fitted), "conclusion": model.conclusion(fitted, check),
        "check": check.to_dict("records"),
    }  # fmt: skip
    unranked = [name for name in [*sources, *files] if name not in set(table["source"])]
    warnings = [f"Not ranked, as no measure has a value: {', '.join(unranked)}."] if unranked else []
    return told | {"warnings": [*warnings, *failed, *_warnings(told, _distances(similarity, found), check)]}


def of_settings(settings: Recommend, study: Study) -> dict[str, Any]:
    """Return `recommend` for the parameters of its notebook."""
    given = {key: value for key, value in settings.model_dump(exclude={"profile"}).items() if value is not None}
    place, weights = paths.root() / given.pop("place"), [paths.root() / file for file in given.pop("weights")]
    return recommend(place, study, **given, weights=weights)


def _candidates(found: pd.DataFrame, evidence: pd.DataFrame) -> pd.DataFrame:
    """Scores of the sources on the own images, as `model.rank` takes them."""
    table = similarity_tables.closer(found).unstack("measure").droplevel("target").reset_index()
    known_as = evidence.drop_duplicates("source").set_index("source")
    family, backbone = (table["source"].map(known_as[key]) for key in ("family", "backbone"))
    return table.assign(family=family.fillna("unknown"), backbone=backbone.fillna(""))


def _numbers(fitted: model.Fit) -> dict[str, float]:
    slope = fitted.draws.slope
    return {
        "slope": float(slope.mean()), "slope_sd": float(slope.std()), "n_targets": fitted.n_targets,
        "merit_sd": fitted.merit_sd, "score_sd": fitted.score_sd,
    }  # fmt: skip


def _measures(asked: list[str] | None, available: set[str]) -> list[str]:
    if unknown := sorted(set(asked or []) - available):
        raise InputError(
            f"No values of measure '{unknown[0]}' in this profile; it has: {', '.join(sorted(available))}."
        )
    chosen = asked or [name for name in model.MEASURES if name in available]
    if not chosen:
        raise InputError(
            f"This profile has none of {', '.join(model.MEASURES)}. Choose --measure from: {', '.join(sorted(available))}."
        )
    return chosen


def _named(weights: Sequence[Path], sources: list[str]) -> dict[str, Path]:
    """Weights files by the names under which they are ranked."""
    files = {path.name.split(".")[0]: path for path in weights}
    if missing := [path for path in weights if not path.is_file()]:
        raise InputError(f"Weights file '{missing[0]}' not found.")
    if twice := set(files) & set(sources):
        raise InputError(f"Weights file '{min(twice)}' has the name of a source of this profile. Rename it.")
    if len(files) < len(weights):
        raise InputError("Two weights files have the same name. Rename one: files are ranked under their names.")
    return files


def _measured(
    listing: datasets.Listing, study: Study, sources: list[str], measures: list[str], n_images: int, seed: int,
    files: dict[str, Path],
) -> tuple["compute.Measured", dict[str, Any]]:  # fmt: skip
    """Measures for target "own", and how many images, classes and groups they used."""
    from catscans_lib.images import store
    from catscans_lib.transferability import compute

    size_px = max(study.sizes_px[target] for target in study.targets)
    images = listing.images.iloc[store.draw(listing.images["label"].to_numpy(), n_images, seed)]
    few = replace(listing, images=images, classes=tuple(dict.fromkeys(images["label"])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.h5"
        store.write(path, few, dataset="own", size_px=size_px)
        opened = store.open_store(path)
        subset = store.subset(opened, np.arange(len(opened.table)), n_images, seed)
        values = compute.of_images(study, subset, sources, [*measures, FAR_MEASURE], seed, files)
        counts = opened.table["label"].iloc[subset.rows].value_counts().to_dict()
        n_groups = len(set(subset.groups))
    return values, {"n_images": len(subset.rows), "classes": counts, "n_groups": n_groups}


def _distances(similarity: pd.DataFrame, found: pd.DataFrame) -> tuple[float, float] | None:
    """Distance of the own images to their nearest source, and the largest such distance of any known target."""
    between = similarity[(similarity["measure"] == FAR_MEASURE) & (similarity["source"] != similarity["target"])]
    own_values = found.loc[found["measure"] == FAR_MEASURE, "value"]
    if between.empty or own_values.empty:
        return None
    means = between.groupby(["target", "source"])["value"].mean()
    return float(own_values.min()), float(means.groupby(level="target").min().max())


def _warnings(told: dict[str, Any], distances: tuple[float, float] | None, check: pd.DataFrame) -> list[str]:
    evidence, found = told["evidence"], []
    if told["demo"]:
        found.append(
            "The demo's networks were trained on made-up images: this shows the procedure and recommends nothing."
        )
    for name, n in told["classes"].items():
        if n < FEW_IMAGES:
            found.append(f"Class '{name}' has {n} images; with fewer than {FEW_IMAGES} no measure is reliable.")
    if told["n_groups"] is None:
        found.append("No groups are given: if a patient has several images, the sources look better than they are.")
    if evidence["slope"] < 2 * evidence["slope_sd"]:
        found.append(
            f"On the {evidence['n_targets']} known targets the measures do not clearly order the sources (slope "
            f"{evidence['slope']:.3f}, sd {evidence['slope_sd']:.3f} logits): the ranking mostly repeats what was best there."
        )
    if check.empty:
        found.append("Not checked by leaving out known targets: that needs at least three.")
    elif check["regret"].mean() >= check["regret_random"].mean():
        found.append(
            "With each known target left out in turn, the recommendation was no better than a random choice "
            f"(AUC lost: {check['regret'].mean():.3f}, random choice {check['regret_random'].mean():.3f})."
        )
    if distances is None:
        found.append("Not checked whether your images are unlike all sources: no stored images of the sources.")
    elif distances[0] > distances[1]:
        found.append(
            f"Your images are far from every source ({FAR_MEASURE} {distances[0]:.3f}; of the known targets at most "
            f"{distances[1]:.3f})."
        )
    return found


def text(told: dict[str, Any]) -> str:
    """Return a recommendation as text to print."""
    counts = ", ".join(f"{name} {n}" for name, n in told["classes"].items())
    n_targets, best = told["evidence"]["n_targets"], told["advice"][0]
    lines = [
        f"{told['place']}: {told['n_images']} images ({counts})",
        f"Start from {best['title']}: the best of {len(told['advice'])} with probability {best['p_best']:.2f}, "
        f"expected loss of AUC {best['loss']:.3f}.",
        "",
        f"{'source':<28}{'AUC minus their mean (95 %)':<34}{'best':>6}{'loss':>8}",
    ]
    for row in told["advice"]:
        gain = f"{row['gain']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        lines.append(f"{row['title']:<28}{gain:<34}{row['p_best']:>6.2f}{row['loss']:>8.3f}")
    lines += ["", f"Based on {', '.join(told['measures'])}, calibrated on {n_targets} targets ({told['mode']})."]
    if told["check"]:
        means = pd.DataFrame(told["check"])[["regret", "regret_random", "regret_imagenet"]].mean(skipna=False)
        imagenet = "" if np.isnan(means["regret_imagenet"]) else f", always ImageNet {means['regret_imagenet']:.3f}"
        lines.append(
            f"Check on these targets, each left out in turn: following the recommendation lost {means['regret']:.3f} AUC, a "
            f"random choice {means['regret_random']:.3f}{imagenet}."
        )
    return "\n".join([*lines, *(f"Warning: {sentence}" for sentence in told["warnings"])])
