"""A card for every saved network: what it learnt from, what it may be used for, how well it does. Mitchell et al. (2019)."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import yaml

from catscans_lib import datasets, paths, results
from catscans_lib.grid import expand
from catscans_lib.networks import registry

DEMO = (
    "The images of this profile are made up: the network has learnt drawings and knows nothing of patients or of the dataset "
    "it is called after."
)
RULE = "| --- | --- | ---: | --- | ---: | ---: | ---: |"
NO_DIAGNOSIS = "It is no medical device. It must not take part in a diagnosis."


def cards(profile: str) -> Iterator[tuple[str, str]]:
    """Give step/name of every run that saved a network, and the network's card in Markdown.

    AUCs and their intervals are read from the profile's tables; where these are missing, the card says so.
    """
    for step in ("pretrain", "transfer"):
        for name in results.finished(profile, step):
            if (paths.run_dir(profile, step, name) / "model.keras").is_file():
                yield f"{step}/{name}", _card(profile, step, name)


def _card(profile: str, step: str, name: str) -> str:
    record = results.record(profile, f"{step}/{name}")
    settings = record["parameters"]
    source, target = settings["source"], settings.get("target")
    used = [datasets.get(key) for key in (target, source) if key and key != "none"]
    demo = expand.load(profile).data == "demo"
    sections = {
        "Model details": _details(record, step),
        "Intended use": _use(used, target, demo),
        "Training data": [_data(info, demo) for info in used] + _weights(record),
        "Training": _training(record),
        "Evaluation": _evaluation(profile, record, source, target),
        "Limits": _limits(record, target, demo),
        "How to open it": [
            "`keras.models.load_model(\"model.keras\")`, without this project. It takes RGB images from 0 to 255, "
            f"{settings['size_px']} x {settings['size_px']} pixels."
        ],
    }  # fmt: skip
    head = {
        "license": "mit" if demo else "other",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "datasets": [info.name for info in used],
        "metrics": ["roc_auc"],
    }
    network = registry.find(settings["backbone"]).title
    title = f"# {network[0].upper()}{network[1:]}: {name.replace('--', ' → ')} ({profile})"
    text = [f"---\n{yaml.safe_dump(head, sort_keys=False)}---", title]
    for section, paragraphs in sections.items():
        text += [f"## {section}", *paragraphs]
    return "\n\n".join(text) + "\n"


def _details(record: dict[str, Any], step: str) -> list[str]:
    settings, network = record["parameters"], registry.find(record["parameters"]["backbone"])
    if step == "pretrain":
        what = f"Pretrained on {_title(settings['source'])}, the source."
    else:
        start = (
            "random weights"
            if settings["source"] == "none"
            else f"a network pretrained on {_title(settings['source'])}"
        )
        what = f"Fine-tuned on {_title(settings['target'])}, the target, starting from {start}."
    n_parameters = f" {record['n_parameters']:,} parameters." if "n_parameters" in record else ""
    commit = record["code"]["commit"] or "not recorded"
    return [
        f"{what} Network: {network.title} ({network.reference}).{n_parameters}",
        f"Run `{record['run_id']}`, {record['started'][:10]}, code commit `{commit}`.",
    ]


def _use(used: list[datasets.DatasetInfo], target: str | None, demo: bool) -> list[str]:
    what = "To compare sources for transfer learning: " + (
        "this is the network after transfer to one target." if target else "this is the start of a transfer."
    )
    terms = "; ".join(f"{info.title}: {info.licence}" for info in used)
    limits = "" if demo or not used else f" What its data's terms forbid is forbidden for it too ({terms})."
    return [f"{what}{limits}", NO_DIAGNOSIS]


def _data(info: datasets.DatasetInfo, demo: bool) -> str:
    if demo and info.name in datasets.PUBLISHED:
        return f"**{info.title}, made up**: drawn by this project's demo world, MIT licence."
    group = f"images of one {info.group} share a fold" if info.group else "no groups are recorded"
    return f"**{info.title}** ({info.modality}; {group}). Licence: {info.licence}. {info.url}".rstrip()


def _weights(record: dict[str, Any]) -> list[str]:
    return [f"Weights taken from {record['weights']}; nothing was trained here."] if "weights" in record else []


def _training(record: dict[str, Any]) -> list[str]:
    keys = (
        "epochs", "batch_size", "optimiser", "learning_rate", "schedule", "dropout", "class_weights", "augmentation",
        "validation_share", "precision", "seed", "seeds",
    )  # fmt: skip
    used = record["parameters"] | {key: record[key] for key in ("precision",) if key in record}  # "auto" became one
    settings = {key: used[key] for key in keys if key in used}
    rows = "\n".join(f"| {key} | {value} |" for key, value in settings.items())
    return [f"| setting | value |\n| --- | --- |\n{rows}"]


def _evaluation(profile: str, record: dict[str, Any], source: str, target: str | None) -> list[str]:
    intervals = results.optional(profile, "tables/auc_intervals.csv", columns=["source", "target", "mode", "method"])
    chosen = intervals[(intervals["source"] == source) & ((intervals["target"] == target) if target else True)]
    chosen = chosen[chosen["method"].str.startswith("bootstrap")]
    if chosen.empty:
        return ["AUCs of this profile have not been computed."]
    order = (
        "What became of it on every target"
        if target is None
        else "Networks made like this one, over all held-out folds"
    )
    rows = "\n".join(_row(row) for row in chosen.to_dict("records"))
    method = f"{chosen['method'].iloc[0]}, {chosen['n_draws'].iloc[0]:.0f} draws"
    table = f"| target | mode | AUC | 95 % interval | images | groups | folds |\n{RULE}\n{rows}"
    return [f"{order}; intervals by {method}.", table, *_own_fold(profile, record, source, target)]


def _row(row: dict[str, Any]) -> str:
    interval = f"{row['low']:.3f} to {row['high']:.3f}"
    counts = " | ".join(f"{row[key]:.0f}" for key in ("n_images", "n_groups", "n_folds"))
    return f"| {_title(row['target'])} | {row['mode']} | {row['auc']:.3f} | {interval} | {counts} |"


def _own_fold(profile: str, record: dict[str, Any], source: str, target: str | None) -> list[str]:
    """Say how the very network that was saved does: that of the last fold and seed, on the images it did not see."""
    if target is None:
        return []
    aucs = results.optional(profile, "tables/aucs.csv")
    seed = record["parameters"]["seeds"][-1]
    rows = aucs[
        (aucs["source"] == source) & (aucs["target"] == target) & (aucs["mode"] == "fine_tune") & (aucs["seed"] == seed)
    ]
    if rows.empty:
        return []
    last: pd.Series = rows.loc[rows["fold"].idxmax()]
    return [
        f"The network that was saved is that of fold {last['fold']}, seed {seed}: AUC {last['auc']:.3f} on the "
        f"{last['n_images']} images held out there, one number without an interval. It has seen the images of all other folds."
    ]  # fmt: skip


def _limits(record: dict[str, Any], target: str | None, demo: bool) -> list[str]:
    said = [DEMO] if demo else []
    if target and datasets.get(target).group is None:
        said.append("No groups are recorded: images of one patient may lie in two folds, and the AUC may be too high.")
    said.append(
        "Intervals say how sure the AUC is for images like these; they say nothing of another scanner, hospital or population, "
        "and the spread of training anew is not in them."
    )
    said.append(f"It was trained at {record['parameters']['size_px']} pixels, which hides fine detail.")
    return said


def _title(key: str) -> str:
    return datasets.titles()[key]
