"""Our own results as evidence: writes the finished targets of a profile to `evidence/` as numbers, with their record.

.venv/bin/python benchmarks/own_evidence.py sample
.venv/bin/python benchmarks/own_evidence.py sample_axes axes
.venv/bin/python benchmarks/own_evidence.py sample_backbones axes

With `axes`, it writes the tables over numbers of images, pretraining seeds, networks and other collections instead, to
`evidence/more/own_*.csv`, which the book of every profile shows.
"""

import re
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import yaml

from catscans_lib import datasets, paths, results
from catscans_lib.errors import InputError, and_more
from catscans_lib.evaluation import intervals, learning, tables
from catscans_lib.evidence import studies
from catscans_lib.evidence.own import CELLS, axis_path
from catscans_lib.grid import expand, profiles
from catscans_lib.similarity import registry
from catscans_lib.transferability import similarity_tables

PAIR = ["source", "target"]
MODALITIES = {  # a word of a card's modality, and the name that studies share
    "natural images": "photographs", "X-ray": "X-ray", "skin": "skin", "retina": "retina", "ultrasound": "ultrasound",
    "CT": "CT", "MRI": "MRI", "histopathology": "histopathology", "blood": "blood cells", "kidney cells": "kidney cells",
}  # fmt: skip
PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "numpy", "scikit-learn")  # those installed
AXES = {  # tables over the axes of a grid, by the step whose run makes them
    "sizes": ("size_curves", "size_crossings", "size_measures"),
    "variance": ("variance_components", "source_differences"),
    "backbones": ("backbones", "backbone_agreement"),
    "external": tuple(
        f"external_{name}" for name in ("drops", "orders", "comparisons", "calibration", "parts", "left_out")
    ),
}
SHORT = re.compile(r"^(\w{12})\w*")  # of a commit; "+changes" stays
ALSO = {"source_images": "images of the source", "source_classes": "classes of the source"}
CAVEATS = (
    "Small samples of public datasets, shrunk to few pixels, and small networks; others may order the sources differently.",
    "A source with a network of its own differs from the others in both; natural and medical sources are compared through one.",
    "Sources that were trained here saw a few hundred images many times, ImageNet's weights 1.28 million: number and content of "
    "images cannot be told apart.",
    "ImageNet came as weights: scores that need a source's images or its own classifier have no value for it.",
    "A difference is that of means over the seeds of each fold. The similarity of a pair stands in its first row.",
)  # fmt: skip


def write(profile: str, needed: Mapping[str, Sequence[str]], mode: str) -> list[str]:
    """Write a profile's finished targets to `evidence/`, replacing what an earlier call wrote; return their names.

    `needed` has the transfer and similarity runs of each target by target: a target is finished if all of them are. `mode` is
    the one in which sources are compared. InputError if no target is finished.
    """
    targets = [target for target, runs in needed.items() if all(results.is_done(profile, run) for run in runs)]
    if not targets:
        raise InputError(f"No target of '{profile}' has all its transfers and similarities. Run the sweep first.")
    name, predictions = studies.OWN + profile, results.of_transfers(profile, "predictions")
    predictions = predictions[predictions["target"].isin(targets)]
    aucs = tables.aucs(predictions, results.run_ids(profile))
    records = [results.record(profile, run) for target in targets for run in needed[target]]
    scores, facts = _scores(profile, targets)
    pairs = aucs[PAIR].drop_duplicates().itertuples(index=False)
    transfers = {pair.source: results.record(profile, f"transfer/{pair.source}--{pair.target}") for pair in pairs}
    backbones = {source: record["parameters"]["backbone"] for source, record in transfers.items()}
    table = _outcomes(aucs, predictions, mode, scores, facts, backbones)
    study = _record(records, table, mode, scores)
    cells = _cells(profile, aucs, predictions).assign(study=name)[CELLS]
    for path, content in ((f"{name}.csv", table[study.columns]), (f"more/{name}_aucs.csv", cells)):
        with paths.atomic_write(studies.folder() / path) as part:
            content.to_csv(part, index=False, float_format="%.6g")
    _describe(name, study)
    studies.read(name)
    return targets


def write_axes(profile: str) -> list[str]:
    """Write a profile's tables over the axes of its grid to `evidence/more/`; return their files.

    They replace those of an earlier call.
    A column study names the profile, and commit the code of the run that made the table. Tables of an earlier call that the
    profile does not have any more are removed. InputError if it has none.
    """
    done = {name: step for step, names in AXES.items() for name in names if results.is_done(profile, f"{step}/all")}
    found = {name: results.optional(profile, f"tables/{name}.csv") for name in done}
    if not any(map(len, found.values())):
        raise InputError(f"'{profile}' has no finished run of {', '.join(AXES)}. Run the sweep first.")
    written = []
    for name in (name for names in AXES.values() for name in names):
        path = axis_path(name)
        if not len(table := found.get(name, ())):
            if path.is_file() and pd.read_csv(path)["study"].iloc[0] == profile:
                path.unlink()
            continue
        commit = SHORT.sub(r"\1", results.record(profile, f"{done[name]}/all")["code"]["commit"])
        with paths.atomic_write(path) as part:
            table.assign(study=profile, commit=commit).to_csv(part, index=False, float_format="%.6g")
        written.append(path.name)
    return written


def modality(name: str) -> str:
    """Return what a dataset shows, in the words that studies share; InputError if its card says nothing of the kind."""
    about = datasets.get(name).modality
    if not (found := [kind for word, kind in MODALITIES.items() if word in about]):
        raise InputError(f"The modality of '{name}', '{about}', has none of the words {', '.join(MODALITIES)}.")
    return found[0]


def _scores(profile: str, targets: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return measures that have a value on every target (columns; mean over draws) by pair, and facts by source."""
    values = similarity_tables.between_datasets(results.of_similarities(profile))
    values = values[
        values["target"].isin(targets) & values["measure"].isin(registry.MEASURES)
    ]  # older runs may have others
    wide = values.pivot_table("value", PAIR, "measure")
    wide = wide.loc[:, wide.notna().groupby("target").any().all()]
    facts = similarity_tables.facts_of_sources(profile, values).set_index("source")
    return wide, facts.rename(columns={"n_images": "source_images", "n_classes": "source_classes"})[list(ALSO)]


def _outcomes(
    aucs: pd.DataFrame,
    predictions: pd.DataFrame,
    mode: str,
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    backbones: dict[str, str],
) -> pd.DataFrame:
    """Return a row per source, target, mode, fold and seed, in the columns of every study."""
    table = aucs.rename(columns={"auc": "value"}).sort_values(tables.KEYS, ignore_index=True)
    known = {name: "none" if name == "none" else modality(name) for name in {*table["source"], *table["target"]}}
    titles = datasets.titles() | {"none": "none"}
    n_images = predictions.groupby("target")["image_id"].nunique()
    kinds = {"none": "none", "photographs": "natural"}
    pairs = zip(table["source"], table["target"], strict=True)
    table = table.assign(
        source_kind=[kinds.get(known[name], "medical") for name in table["source"]],
        pretraining_data=table["source"].map(titles), backbone=table["source"].map(backbones), metric="auc",
        low=np.nan, high=np.nan,
        overlap=["possible" if datasets.parts_of_the_same(source, [target]) else "none" for source, target in pairs],
        modality=table["target"].map(known), n_train=table["target"].map(n_images) - table["n_images"],
    ).join(facts, on="source").join(scores, on=PAIR)  # fmt: skip
    is_first = table["mode"].eq(mode) & ~table.duplicated([*PAIR, "mode"])
    table.loc[~is_first, list(scores)] = np.nan
    return table


def _cells(profile: str, aucs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return mean AUC, its interval over groups and seeds, and how many of the networks did not learn, by cell."""
    drawn = intervals.draws(predictions, n_draws=1000, seed=0, average="weighted")
    found = intervals.auc_intervals(aucs, drawn, predictions)
    verdicts = learning.of_profile(profile, tables.class_aucs(predictions))
    failed = (verdicts["verdict"] == learning.FAILED).groupby([verdicts[key] for key in tables.CELL]).sum()
    return found[found["method"].str.startswith("bootstrap")].join(failed.rename("n_failed"), on=tables.CELL)


def _record(records: list[dict], table: pd.DataFrame, mode: str, scores: pd.DataFrame) -> studies.Study:
    measures = {name: registry.get(name) for name in scores}
    return studies.Study(
        title="Our own runs", licence="MIT, as this project; numbers only", rows=len(table), metrics=["auc"],
        repeats="folds", mode=mode, of_one_network=True,
        commit=", ".join(sorted({SHORT.sub(r"\1", record["code"]["commit"]) or "not recorded" for record in records})),
        versions={name: version for name, version in records[0]["versions"].items() if name in PACKAGES}, also=ALSO,
        caveats=list(CAVEATS),
        scores={name: measure.title for name, measure in measures.items()},
        distances=[name for name, measure in measures.items() if not measure.larger_is_closer],
        without_labels=[name for name, measure in measures.items() if not measure.uses_labels],
    )  # fmt: skip


def _describe(name: str, study: studies.Study) -> None:
    """Replace the record of a study in `studies.yaml`, or add it at the end."""
    path = studies.folder() / "studies.yaml"
    before = re.sub(rf"^{re.escape(name)}:\n(?:[ \n].*\n?|\n)*", "", path.read_text(encoding="utf-8"), flags=re.M)
    block = yaml.safe_dump({name: study.model_dump(exclude_defaults=True)}, sort_keys=False, width=130)
    with paths.atomic_write(path) as part:
        part.write_text(before.rstrip("\n") + "\n" + block, encoding="utf-8")


def main(profile: str, what: str = "targets") -> None:
    """Write a profile's finished targets, or its `axes`; InputError if its images are generated."""
    if profiles.is_demo(profile):
        raise InputError(f"The images of '{profile}' are generated; only results of real images are evidence.")
    if what == "axes":
        print(f"evidence/more: {', '.join(write_axes(profile))}")
        return
    needed: dict[str, list[str]] = {}
    for key, run in expand.grid(profile).items():
        if run.step in ("transfer", "similarity"):
            needed.setdefault(run.parameters["target"], []).append(key)
    done = write(profile, needed, profiles.load(profile).primary.mode)
    rest = and_more([target for target in needed if target not in done])
    print(f"evidence/own_{profile}.csv: {', '.join(done)}" + f"; not finished: {rest}" * bool(rest))


if __name__ == "__main__":
    main(*sys.argv[1:3] or ["sample"])
