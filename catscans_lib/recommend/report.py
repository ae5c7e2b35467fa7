"""From a folder of images to advice: which source to start from, what that rests on, and when not to trust it."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.datasets import own
from catscans_lib.errors import InputError
from catscans_lib.recommend import model
from catscans_lib.recommend.settings import Recommend
from catscans_lib.transferability.settings import Study

FEW_IMAGES = 20  # of a class; below, no measure says much
FAR_MEASURE = "mmd_rbf"  # tells whether images are unlike all that is known


def recommend(
    place: Path, study: Study, *, mode: str | None = None, measures: list[str] | None = None, n_images: int = 500, seed: int = 0,
    weights: Sequence[Path] = (), **card: Any,
) -> dict[str, Any]:  # fmt: skip
    """Rank the sources of a profile for a user's own images, without training on them.

    Parameters
    ----------
    place : pathlib.Path
        A folder with a folder for each class, a CSV with path and label, or an .npz as MedMNIST publishes it.
    study : Study
        Whose networks and results are used, as `grid.profiles.study` returns it.
    mode : str, optional
        "fine_tune" or "linear_probe": how the source will be used; None: the first that the profile has.
    measures : list of str, optional
        What tells how close a source is; None: those of `advice.MEASURES` that the profile has values of.
    n_images : int
        At most so many images are looked at, each class by its share.
    seed : int
        Of that draw, and of the draws behind intervals.
    weights : sequence of pathlib.Path
        Files with weights of the profile's network, ranked as further sources under the names of the files.
    **card
        Further fields of an `OwnCard`: columns, patterns, group.

    Returns
    -------
    dict
        Plain values: place, profile, mode, n_images, classes (images of each that were looked at), n_groups (None: not known),
        measures, advice (rows of `advice.advise`, with title), evidence (slope, slope_sd, n_targets, effect_sd, noise_sd), check
        (rows of `advice.held_out_check`), warnings (sentences).

    Raises
    ------
    InputError
        If the images cannot be read, or the profile has no results to learn from (names the command that makes them).
    """
    profile = study.profile
    aucs, similarity = _evidence(profile)
    mode = mode or str(aucs["mode"].iloc[0])
    aucs = aucs[aucs["mode"] == mode]
    if aucs.empty:
        raise InputError(f"Profile {profile} has no AUCs of mode '{mode}'.")
    known = set(similarity["measure"])
    measures = _measures(measures, known)
    sources = sorted(set(similarity["source"]) & set(aucs["source"]))
    listing = own.OwnCard(title=place.name, form=own.form_of(place), place=str(place.resolve()), **card).read(
        place.parent
    )
    found, facts = _measured(listing, study, sources, measures, n_images, seed, _named(weights, sources))
    near = model.closeness(similarity, measures)
    try:
        calibration = model.calibrate(aucs, near)
    except ValueError as error:
        raise InputError(f"Profile {profile}: {error}") from error
    n_targets = calibration.n_targets
    check = model.held_out_check(aucs, similarity, measures) if n_targets > 2 else pd.DataFrame(columns=model.CHECK)
    table = model.advise(calibration, model.closeness(found, measures)["own"], seed)
    table.insert(1, "title", table["source"].map(datasets.titles()).fillna(table["source"]))
    has_groups = bool(card.get("group_column") or card.get("group_pattern"))
    told = {
        "place": str(place), "profile": profile, "mode": mode, "n_images": facts["n_images"], "classes": facts["classes"],
        "n_groups": facts["n_groups"] if has_groups else None, "measures": measures, "advice": table.to_dict("records"),
        "evidence": {
            "slope": calibration.slope, "slope_sd": calibration.slope_sd, "n_targets": calibration.n_targets,
            "effect_sd": calibration.effect_sd, "noise_sd": calibration.noise_sd,
        },
        "check": check.to_dict("records"),
    }  # fmt: skip
    return told | {"warnings": _warnings(told, _farness(similarity, found), check)}


def of_settings(settings: Recommend, study: Study) -> dict[str, Any]:
    """Return `recommend` for the parameters of its notebook."""
    given = {key: value for key, value in settings.model_dump(exclude={"profile"}).items() if value is not None}
    place, weights = paths.root() / given.pop("place"), [paths.root() / file for file in given.pop("weights")]
    return recommend(place, study, **given, weights=weights)


def _evidence(profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AUCs and measures of a profile; InputError where there are none."""
    aucs, similarity = (results.optional(profile, f"tables/{name}.csv") for name in ("aucs", "similarity"))
    if aucs.empty or similarity.empty:
        missing = "evaluate/all" if aucs.empty else "transferability/all"
        raise InputError(
            f"Profile {profile} has no results to learn from. Make them: .venv/bin/catscans sweep --profile {profile} {missing}"
        )
    return aucs, similarity


def _measures(asked: list[str] | None, known: set[str]) -> list[str]:
    if unknown := sorted(set(asked or []) - known):
        raise InputError(f"No values of measure '{unknown[0]}' in this profile; it has: {', '.join(sorted(known))}.")
    chosen = asked or [name for name in model.MEASURES if name in known]
    if not chosen:
        raise InputError(
            f"This profile has none of {', '.join(model.MEASURES)}. Choose --measure from: {', '.join(sorted(known))}."
        )
    return chosen


def _named(weights: Sequence[Path], sources: list[str]) -> dict[str, Path]:
    """Weights files by the names they are told of under."""
    files = {path.name.split(".")[0]: path for path in weights}
    if missing := [path for path in weights if not path.is_file()]:
        raise InputError(f"There is no weights file '{missing[0]}'.")
    if twice := set(files) & set(sources):
        raise InputError(f"A weights file is called '{min(twice)}', as a source of this profile is. Rename it.")
    if len(files) < len(weights):
        raise InputError("Two weights files have the same name. Rename one: advice is told under these names.")
    return files


def _measured(
    listing: datasets.Listing, study: Study, sources: list[str], measures: list[str], n_images: int, seed: int,
    files: dict[str, Path],
) -> tuple[pd.DataFrame, dict[str, Any]]:  # fmt: skip
    """Values of the measures for target "own", as a table of similarity, and what was looked at."""
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


def _farness(similarity: pd.DataFrame, found: pd.DataFrame) -> tuple[float, float] | None:
    """Distance to the nearest source of the own images, and the largest such distance of any known target."""
    known = similarity[(similarity["measure"] == FAR_MEASURE) & (similarity["source"] != similarity["target"])]
    own_values = found.loc[found["measure"] == FAR_MEASURE, "value"]
    if known.empty or own_values.empty:
        return None
    means = known.groupby(["target", "source"])["value"].mean()
    return float(own_values.min()), float(means.groupby(level="target").min().max())


def _warnings(told: dict[str, Any], farness: tuple[float, float] | None, check: pd.DataFrame) -> list[str]:
    evidence, found = told["evidence"], []
    if told["profile"].split("/")[0] == "demo":
        found.append(
            "The networks are those of the demo world, trained on made-up images: this shows the way, and advises on nothing."
        )
    for name, n in told["classes"].items():
        if n < FEW_IMAGES:
            found.append(f"Class '{name}' has {n} images; below {FEW_IMAGES} no measure says much.")
    if told["n_groups"] is None:
        found.append("No groups are given: if a patient has several images, the sources look better than they are.")
    if evidence["slope"] < 2 * evidence["slope_sd"]:
        found.append(
            f"On the {evidence['n_targets']} known targets the measures do not clearly order the sources (slope "
            f"{evidence['slope']:.4f}, sd {evidence['slope_sd']:.4f} AUC): the ranking rests mostly on what was best elsewhere."
        )
    if check.empty:
        found.append("With two known targets none can be left out, so the advice was not checked.")
    elif check["regret"].mean() >= check["regret_random"].mean():
        found.append(
            "Each known target left out in turn, this advice was no better than a random choice "
            f"(AUC lost: {check['regret'].mean():.3f} against {check['regret_random'].mean():.3f})."
        )
    if farness is None:
        found.append(
            "Whether your images are unlike all sources was not checked: no images of the sources are at hand."
        )
    elif farness[0] > farness[1]:
        found.append(
            f"Your images are far from every source ({FAR_MEASURE} {farness[0]:.3f}; the farthest known target {farness[1]:.3f})."
        )
    return found


def text(told: dict[str, Any]) -> str:
    """Return advice as lines to read."""
    counts = ", ".join(f"{name} {n}" for name, n in told["classes"].items())
    evidence, best = told["evidence"], told["advice"][0]
    lines = [
        f"{told['place']}: {told['n_images']} images ({counts})",
        f"Start from {best['title']}: the best of {len(told['advice'])} with probability {best['p_best']:.2f}, "
        f"expected loss of AUC {best['loss']:.3f}.",
        "",
        f"{'source':<28}{'AUC against their mean (95 %)':<34}{'best':>6}{'loss':>8}",
    ]
    for row in told["advice"]:
        gain = f"{row['gain']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        lines.append(f"{row['title']:<28}{gain:<34}{row['p_best']:>6.2f}{row['loss']:>8.3f}")
    lines += [
        "",
        f"Rests on {', '.join(told['measures'])}, calibrated on {evidence['n_targets']} targets ({told['mode']}).",
    ]
    if told["check"]:
        check = pd.DataFrame(told["check"])
        imagenet = check["regret_imagenet"]
        others = f", always ImageNet {imagenet.mean():.3f}" if imagenet.notna().all() else ""
        lines.append(
            f"Each of these left out in turn: the advice would have lost {check['regret'].mean():.3f} AUC, a random choice "
            f"{check['regret_random'].mean():.3f}{others}."
        )
    return "\n".join([*lines, *(f"Take care: {sentence}" for sentence in told["warnings"])])
