"""Reads predictions of networks that were trained on one collection and applied to another, and says what may be compared.

Both collections are judged on the classes that correspond (`datasets.label_maps`), so a drop compares like with like. A test
image that shares a unit with training images, or nearly equals one, is left out.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np
import pandas as pd

from catscans_lib import datasets, results
from catscans_lib.errors import InputError
from catscans_lib.evaluation import External, Pair, drops
from catscans_lib.evaluation.tables import KEYS, LONGER
from catscans_lib.images import duplicates, findings, folds
from catscans_lib.images.store import ImageStore


def evaluate(
    settings: External, open_store: Callable[[str], ImageStore], images_of_target: Callable[[str], pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Return the tables of all pairs (`drops.of_pair`, with column test), left_out (`usable`) and problems.

    A pair that cannot be evaluated is a problem and stops no other. InputError if none can be.
    """
    found: dict[str, list[pd.DataFrame]] = {"problems": [pd.DataFrame(columns=["train", "test", "problem"])]}
    for pair in settings.pairs:
        try:
            same = datasets.parts_of_the_same(pair.test, settings.sources)
            stores = {name: open_store(name) for name in settings.sources if name not in (*same, pair.train)}
            others = {name: (store, store.table) for name, store in stores.items()}
            others[pair.train] = open_store(pair.train), images_of_target(pair.train)
            images, left_out = usable(open_store(pair.test), pair, others)
            inside, outside = read(settings.profile, pair, images)
            details = results.optional(settings.profile, f"ingest/{pair.test}/details.csv", ["image_id"])
            chosen = settings.model_dump(include={"n_draws", "draw_seed", "margin"})
            gone = pd.DataFrame({"dataset": same}).assign(reason="source: pretrained on this collection", n_images=0)
            left_out = pd.concat([left_out, gone.assign(train=pair.train)], ignore_index=True)
            made = {"left_out": left_out, **drops.of_pair(inside, outside, details, **chosen)}
        except (InputError, ValueError) as error:
            made = {"problems": pd.DataFrame({"train": [pair.train], "problem": [str(error)]})}
        for name, table in made.items():
            found.setdefault(name, []).append(table.assign(test=pair.test))
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}
    if len(problems := joined["problems"]) == len(settings.pairs):
        first = problems.iloc[0]
        raise InputError(f"No pair can be evaluated. {first['train']} -> {first['test']}: {first['problem']}")
    return joined


def usable(
    test: ImageStore, pair: Pair, others: Mapping[str, tuple[ImageStore, pd.DataFrame]]
) -> tuple[set[str], pd.DataFrame]:
    """Return the ids of the images to evaluate on, and how many of the others are left out: dataset, reason, n_images.

    `others` are the training target and the trained sources: store, and those of its rows that were trained on. An image counts
    once, for the first reason. All sources are judged on the same images. InputError if fewer than two classes remain.
    """
    units, kept, rows = folds.linked(test.table), np.ones(len(test.table), bool), []
    hashes = duplicates.perceptual_hashes(test.images)

    def leave_out(mask: np.ndarray, dataset: str, reason: str) -> None:
        rows.append((dataset, reason, int((mask & kept).sum())))
        kept[mask] = False

    if test.findings is None:
        for label in test.table["label"].unique():
            if label not in pair.labels_as:
                leave_out((test.table["label"] == label).to_numpy(), pair.test, f"class '{label}' has no counterpart")
    for name, (store, table) in others.items():
        is_common = bool(datasets.parts_of_the_same(name, [pair.test]))
        leave_out(folds.shared(test.table, table, of_common_origin=is_common), name, "same image or group")
        close = duplicates.near(hashes, duplicates.perceptual_hashes(store.images)[table.index])
        leave_out(np.isin(units, units[close]), name, "near duplicate, or in a group with one")
    left = test.table[kept]
    said = pd.DataFrame(rows, columns=["dataset", "reason", "n_images"]).query("n_images > 0").assign(train=pair.train)
    if len({tuple(pair.labels_as.get(name, ())) for name in findings.each(left["label"])} - {()}) < 2:
        why = "; ".join(f"{row.n_images} {row.reason} ({row.dataset})" for row in said.itertuples())
        raise InputError(f"{len(left)} of {len(test.table)} images are left, without two classes. Left out: {why}.")
    return set(left["image_id"]), said


def read(profile: str, pair: Pair, images: Collection[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the predictions of held-out images, and of `images` of the other collection, on corresponding classes (`mapped`).

    A source that was pretrained on the other collection itself, or on another part of the same dataset, is left out.
    """
    found = {which: [pd.DataFrame()] for which in ("predictions", "external")}
    for name, source, target in results.transfers(profile, datasets.known()):
        if target == pair.train and not datasets.parts_of_the_same(source, [pair.test]):
            for which, parts in found.items():
                parts.append(results.table(profile, "transfer", name, which).assign(source=source, target=target))
    inside, outside = (pd.concat(parts, ignore_index=True) for parts in found.values())
    if inside.empty:
        raise InputError(f"No finished transfer to '{pair.train}' of a source that is not of '{pair.test}' itself.")
    outside = outside[(outside["test"] == pair.test) & outside["image_id"].isin(images)]
    several = any(name.startswith("true_") for name in inside)
    own = {name: to for to in pair.labels_as.values() for name in to}
    inside = mapped(inside[inside["mode"] != LONGER], own, several=several)
    return inside, mapped(outside, pair.labels_as, several=several)


def mapped(predictions: pd.DataFrame, labels_as: Mapping[str, list[str]], *, several: bool) -> pd.DataFrame:
    """Return predictions on corresponding classes: `labels_as` has the predicted classes of each label; other rows are dropped.

    A class of several predicted ones has their summed probability and their names, joined by +. Probabilities are divided by
    their sum: given that an image is of one of these classes, what is its class? (ImageNet-R and ObjectNet are evaluated alike.)
    Where an image may have `several` findings, probabilities stay, and the largest counts instead of the sum.
    """
    classes = {"+".join(to): to for to in labels_as.values()}
    names = {label: "+".join(to) for label, to in labels_as.items()}
    columns, table = [f"score_{name}" for name in classes], predictions[[*KEYS, "image_id", "group", "label"]]
    of = [predictions[[f"score_{one}" for one in to]].to_numpy(float) for to in classes.values()]
    if several:
        has = findings.matrix(table["label"], list(names))
        truth = {f"true_{name}": has[:, [names[one] == name for one in names]].any(axis=1) for name in classes}
        return table.assign(**{column: one.max(axis=1) for column, one in zip(columns, of, strict=True)}, **truth)
    scores = np.stack([one.sum(axis=1) for one in of], axis=1)
    total = scores.sum(axis=1, keepdims=True)
    scores = np.where(total > 0, scores / np.where(total > 0, total, 1), 1 / len(classes))
    table = table.assign(label=table["label"].map(names), **dict(zip(columns, scores.T, strict=True)))
    return table[table["label"].notna()]
