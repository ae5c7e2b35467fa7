"""From a folder of images to advice: which candidate to start from, what that rests on, and when not to trust it."""

import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import to_json
from threadpoolctl import threadpool_limits

from catscans_lib import paths, results
from catscans_lib.datasets import own
from catscans_lib.errors import InputError, and_more
from catscans_lib.images.listing import Listing
from catscans_lib.recommend import Recommend, candidates, known, looks, model, own_images, scores
from catscans_lib.recommend.candidates import Say
from catscans_lib.similarity import registry
from catscans_lib.transferability import Study

FEW_IMAGES = 20  # of a class; with fewer, no measure is reliable
UNLIKE = 0.5  # share of images that look like no known target, from which on there is a warning


def recommend(settings: Recommend, studies: Sequence[Study] = (), say: Say = lambda _: None) -> dict[str, Any]:
    """Rank what a user can start from for own images, without training on them.

    `studies` are the finished profiles of `settings.networks_of`; `say` gets a line about each step.

    Returns plain values that JSON can hold (None, not NaN): place, mode, measures, images (see `OwnImages.described`), advice
    (rows of `model.rank` with name, family, backbone, has_results), alone (True: ranked without the images), within (rankings of
    candidates of one network), settle (what fine-tuning the best two would settle), worth (the best against random weights),
    half (the advice from half the images), evidence (n_targets), rests_on (sentences), beats_imagenet
    (None: not known), check (rows of `model.check`), look (see `looks.compare`), demo, notes, problems, warnings (sentences).
    InputError if the images or a named candidate cannot be read, or no named candidate has a score.
    """
    with threadpool_limits(1), warnings.catch_warnings():  # on small matrices, waiting threads cost ten times the work
        warnings.simplefilter("ignore")  # scikit-learn's, of many small classes
        told = _recommend(settings, studies, say)
    # strict JSON: no NaN, no numbers of NumPy
    return json.loads(to_json(told, inf_nan_mode="null", fallback=np.generic.item))


def _recommend(settings: Recommend, studies: Sequence[Study], say: Say) -> dict[str, Any]:
    of_profile = [results.optional(study.profile, "tables/aucs.csv", ["mode"])["mode"] for study in studies[:1]]
    mode = settings.mode or next((modes.get(0) for modes in of_profile), None) or "fine_tune"
    evidence = _evidence(studies, mode)
    families = dict(zip(evidence["source"], evidence["family"], strict=True))
    has_values = evidence.columns[evidence.notna().any()].intersection([*registry.MEASURES])
    measures = [name for name in model.MEASURES if name in has_values]
    is_named = bool({*settings.models} - {"none"} or settings.weights or settings.features or studies)
    settings = settings if is_named else settings.model_copy(update=candidates.default())
    wanted = candidates.chosen(settings, studies, families)
    listing, group = _listed(settings)
    say(f"{len(listing.images):,} images listed")
    used, notes = model.MEASURES, []
    left = [name for name in measures if listing.multi_label and not registry.get(name).takes_findings]
    if left:
        used, measures = ([name for name in of if name not in left] for of in (used, measures))
        notes = [f"Measures of classes that exclude each other, so not for several findings: {', '.join(left)}."]
    try:
        fit, checked = model.fit(evidence, used), model.known_check(evidence, used)
    except ValueError as error:
        raise InputError(str(error)) from error
    with tempfile.TemporaryDirectory() as folder:
        images = own_images.look(listing, settings.n_images, settings.size_px, settings.seed, Path(folder))
        scored = scores.of_candidates(wanted, images, measures, settings.seed, say, may_fail=not is_named)
        look = looks.compare(images, looks.known(studies))
    alone = bool(scored.all[measures].isna().all(axis=None))
    if alone and is_named:
        raise InputError("No candidate can be ranked: no measure has a value.\n" + "\n".join(scored.problems))
    if alone:
        kinds = [(title, kind, kind, "") for kind, title in known.FAMILIES.items() if kind in {*families.values()}]
        scored = scored._replace(all=pd.DataFrame(kinds, columns=scores.KEYS).reindex(columns=[*scored.all]), n_half=0)
    both = checked.dropna(subset="regret_imagenet")
    told = {
        "place": settings.place, "mode": mode, "measures": measures, "images": images.described(group), "alone": alone,
        **_ranked(fit, scored, settings.seed), "demo": any(study.is_demo for study in studies), "look": look,
        "evidence": {"n_targets": fit.n_targets}, "rests_on": model.conclusion(fit, checked), "check": checked.to_dict("records"),
        "beats_imagenet": bool(both["regret"].sum() < both["regret_imagenet"].sum()) if len(both) > 1 else None,
        "notes": [*notes, *scored.notes], "problems": scored.problems,
    }  # fmt: skip
    return told | {"warnings": _warnings(told)}


def _evidence(studies: Sequence[Study], mode: str) -> pd.DataFrame:
    """Evidence of the shipped tables and the profiles; of the demo's profiles alone, if there are any."""
    demo = [known.of_profile(study.profile, mode) for study in studies if study.is_demo]
    return pd.concat(demo, ignore_index=True) if demo else known.evidence([study.profile for study in studies], mode)


def _listed(settings: Recommend) -> tuple[Listing, str | None]:
    """All images found, and what a group is (None: unknown)."""
    place = paths.root() / Path(settings.place).expanduser()
    names = ("path_column", "label_column", "multi_label", "group_column", "group_pattern", "image_dir")
    columns = {name: value for name in names if (value := getattr(settings, name))}
    card = own.card_at(place, **columns)
    return card.read(place.parent), settings.group_column or (settings.group_pattern and "in file names")


def _ranked(fit: model.Fit, scored: scores.Scored, seed: int) -> dict[str, Any]:
    """The ranking, and what the draws behind it say of pairs of candidates."""
    order = model.rank(fit, scored.all, seed)
    advice = scored.all[scores.KEYS].loc[order.index].join(order.drop(columns="source"))
    advice["has_results"] = [key in fit.networks for key in zip(advice["source"], advice["backbone"], strict=True)]
    drawn = model.draws(fit, scored.all, seed).set_axis(scored.all.loc[sorted(order.index), "name"], axis=1)
    names, nothing = list(advice["name"]), list(advice.loc[advice["family"] == "none", "name"])
    trained, half = [name for name in names if name not in nothing], None
    if scored.n_half:
        again = model.rank(fit, scored.half, seed)
        order = list(scored.half.loc[again.index, "name"])
        half = {"n_images": scored.n_half, "order": order, "p_best": again["p_best"].iloc[0]}
    return {
        "advice": advice.to_dict("records"), "within": _within(advice, drawn), "half": half,
        "settle": _pair(drawn, *trained[:2]) if len(trained) > 1 else None,
        "worth": _pair(drawn, trained[0], nothing[0]) if trained and nothing else None,
    }  # fmt: skip


def _pair(drawn: pd.DataFrame, one: str, other: str) -> dict[str, Any]:
    """How probably one candidate is better than another, by how much, and what it saves on average to know it."""
    difference = drawn[one] - drawn[other]
    low, high = model.interval(difference)
    return {
        "first": one, "second": other, "p_first": (difference > 0).mean(), "difference": difference.mean(), "low": low,
        "high": high, "saved": (-difference).clip(lower=0).mean(),
    }  # fmt: skip


def _within(advice: pd.DataFrame, drawn: pd.DataFrame) -> list[dict[str, Any]]:
    """Rankings of the candidates that have the same network."""
    found = []
    for backbone, rows in advice.groupby("backbone", sort=False):
        if backbone and len(rows) > 1:
            p_best = drawn[rows["name"]].idxmax(axis=1).value_counts(normalize=True)
            found.append({"backbone": backbone, "order": [(name, p_best.get(name, 0.0)) for name in rows["name"]]})
    return found


def _warnings(told: dict[str, Any]) -> list[str]:
    found = []
    if few := [f"'{name}' ({n})" for name, n in told["images"]["classes"].items() if n < FEW_IMAGES]:
        found.append(f"Few images in {and_more(few, 5)}; below {FEW_IMAGES} of a class no measure is reliable.")
    if (look := told["look"]) and look["unlike"] > UNLIKE:
        none = f"{look['unlike']:.0%} of your images look like none of {look['n_targets']} known targets"
        found.append(f"Unlike everything known: {none}. What is known may not apply to them.")
    if unknown := [row["name"] for row in told["advice"] if row["family"] == "unknown"]:
        state = f"State it for narrower intervals: --kind NAME=KIND, one of {', '.join(known.FAMILIES)}."
        found.append(f"Not known: what {and_more(unknown, 5)} was trained on. {state}")
    return found
