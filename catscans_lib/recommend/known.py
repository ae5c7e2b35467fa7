"""What is known of sources on targets: AUCs with their standard errors and scores, from published tables and own profiles."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from catscans_lib import datasets, results
from catscans_lib.errors import InputError
from catscans_lib.evaluation import learning
from catscans_lib.evidence import own, studies
from catscans_lib.transferability import similarity_tables

FAMILIES = {  # kinds of source, whose members are expected to be alike
    "imagenet": "ImageNet, or as many photographs", "natural": "a small set of photographs", "texture": "textures",
    "medical_large": "half a million medical images or more", "medical": "a small medical set", "none": "random weights",
    "unknown": "not known",
}  # fmt: skip
LARGE = 500_000  # images
PAIR = ["target", "source"]
KEYS = ["study", *PAIR, "family", "backbone", "auc", "se"]
TABLES = ("own_sample", "medmnist")  # shipped tables with AUCs beside scores that this project computes, too
RENAMED = {"nleep": "n_leep", "lp": "linear_probe_accuracy"}  # columns of published tables
SAME_IMAGES = {  # targets of common origin under other names: both are left out together
    "dermamnist": "isic2018", "isic2017": "isic2018", "pneumoniamnist": "chest", "breastmnist": "breast_ultrasound",
    "organcmnist": "organamnist", "organsmnist": "organamnist",
}  # fmt: skip


def evidence(profiles: Sequence[str] = (), mode: str = "fine_tune") -> pd.DataFrame:
    """Return one row per study, target and source whose AUC is known.

    From the shipped tables `TABLES` and the results of finished `profiles`; a profile replaces the shipped table that was made
    of it. Pairs of which most trainings failed, or whose images overlap, are left out.

    Returns columns study, target, source, family (a key of `FAMILIES`), backbone, auc (mean over folds and seeds), se (standard
    error of its logit, apart from what all sources of the target share; NaN in studies without repetitions), and one column per
    score: larger is closer, NaN where it is not known. InputError for a profile without results.
    """
    replaced = {studies.OWN + profile for profile in profiles}
    parts = [_published(name, mode) for name in TABLES if name not in replaced]
    parts += [of_profile(profile, mode) for profile in profiles]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def of_profile(profile: str, mode: str = "fine_tune") -> pd.DataFrame:
    """Return the evidence of one finished profile."""
    aucs, similarity = (results.optional(profile, f"tables/{name}.csv") for name in ("aucs", "similarity"))
    if aucs.empty or similarity.empty:
        missing = "evaluate/all" if aucs.empty else "transferability/all"
        make = f".venv/bin/catscans sweep --profile {profile} {missing}"
        raise InputError(f"Profile {profile} has no results to learn from. Make them: {make}")
    if mode not in set(aucs["mode"]):
        raise InputError(f"Profile {profile} has no AUCs of mode '{mode}'; it has: {', '.join(aucs['mode'].unique())}.")
    verdicts = results.optional(profile, "tables/learning.csv", learning.COLUMNS)
    failed = verdicts["verdict"].eq(learning.FAILED).groupby([verdicts[key] for key in (*PAIR, "mode")]).mean()
    table = of_tables(_learned(aucs, failed, [*PAIR, "mode"]), similarity, mode)
    runs = {source: f"pretrain/{source}" for source in table["source"].unique()}
    records = {source: results.record(profile, run) for source, run in runs.items() if results.is_done(profile, run)}
    backbones = {source: record["parameters"]["backbone"] for source, record in records.items()}
    return table.assign(study=profile, backbone=table["source"].map(backbones).fillna(""))


def of_tables(aucs: pd.DataFrame, similarity: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Return evidence from a profile's tables of AUCs and of similarity."""
    scores = similarity_tables.closer(similarity).unstack("measure")
    return _joined(aucs[aucs["mode"] == mode], scores, {source: family(source) for source in aucs["source"].unique()})


def family(source: str, n_images: float = np.nan, kind: str = "") -> str:
    """Return the kind of a source, a key of `FAMILIES`, by its name, number of images and kind (natural, medical or none)."""
    if source == "none":
        return source
    card = datasets.get(source) if source in datasets.known() else None
    about, n_images = (card.modality, card.n_images or n_images) if card else (kind, n_images)
    if not about:
        return "unknown"
    if "texture" in about:
        return "texture"
    if "natural" in about:
        return "imagenet" if n_images >= LARGE else "natural"
    return "medical_large" if n_images >= LARGE else "medical"


def _published(name: str, mode: str) -> pd.DataFrame:
    """Return evidence from a table in `evidence/`; empty if it has no outcomes in this mode."""
    study, table = studies.described()[name], studies.read(name)
    table = table[(table["source"] != table["target"]) & (table["overlap"] != "known")]
    scores = table.groupby(PAIR)[[*study.scores, *study.rules]].first().astype(float)
    scores[study.distances] *= -1
    facts = table.drop_duplicates("source").set_index("source")
    kinds = {row.Index: family(row.Index, float(row.source_images or 0), row.source_kind) for row in facts.itertuples()}
    here = table[table["mode"] == mode].rename(columns={"value": "auc"})
    if name.startswith(studies.OWN):
        cells = own.aucs()
        cells = cells[(cells["study"] == name) & (cells["mode"] == mode)].set_index(PAIR)
        here = _learned(here, cells["n_failed"] / (cells["n_folds"] * cells["n_seeds"]), PAIR)
    found = _joined(here, scores.rename(columns=RENAMED), kinds)
    return found.assign(study=name, backbone=found["source"].map(facts["backbone"]))


def _learned(aucs: pd.DataFrame, failed: pd.Series, keys: list[str]) -> pd.DataFrame:
    """Leave out sources and targets of which most trainings failed; `failed` is the share that failed, indexed by `keys`."""
    return aucs[failed.reindex(pd.MultiIndex.from_frame(aucs[keys])).fillna(0).to_numpy() <= 0.5]


def _joined(aucs: pd.DataFrame, scores: pd.DataFrame, families: dict[str, str]) -> pd.DataFrame:
    table = _with_errors(aucs).join(scores, on=PAIR)
    facts = {"study": "", "family": table["source"].map(families), "backbone": ""}
    return table.assign(**facts)[[*KEYS, *scores]]


def _with_errors(aucs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC of every target and source, and the standard error of its logit.

    All sources share the images of a fold, so the error is that of the residuals of target, source and fold: their variance is
    pooled over a target's sources. Folds share training images: Nadeau and Bengio's (2003) correction.
    """
    means = aucs.groupby(PAIR)["auc"].mean()
    errors = {}
    for target, here in aucs.groupby("target"):
        wide = here.groupby(["fold", "source"])["auc"].mean().unstack("source").dropna(axis="columns")
        n_folds, n_sources = wide.shape
        if n_folds > 1 and n_sources > 1:
            residuals = wide.sub(wide.mean(axis=1), axis=0)
            residuals -= residuals.mean()
            variance = float((residuals**2).to_numpy().sum()) / ((n_folds - 1) * (n_sources - 1))
            errors[target] = np.sqrt(variance * (1 / n_folds + 1 / (n_folds - 1)))
    auc = means.clip(0.01, 0.99)
    se = means.index.get_level_values("target").map(errors).astype(float) / (auc * (1 - auc))
    return pd.DataFrame({"auc": means, "se": se}).reset_index()
