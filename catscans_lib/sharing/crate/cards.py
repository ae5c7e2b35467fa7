"""The cards in a crate: Croissant metadata of a dataset, which other tools read, and a Markdown card of a network.

Croissant: Akhtar et al. (2024), arXiv:2403.19546. Markdown: sections of Mitchell et al. (2019), Model cards for model reporting.
"""

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from catscans_lib import datasets, paths, results
from catscans_lib.evaluation import learning
from catscans_lib.evaluation.tables import CELL
from catscans_lib.grid import profiles
from catscans_lib.networks import registry

CROISSANT = "http://mlcommons.org/croissant/1.0"
COLUMNS = {
    "image_id": "Name of the image in its dataset.",
    "label": "Its class.",
    "group": "Images of one group share a fold.",
}
CR = (  # terms of the Croissant vocabulary
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes",
    "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace",
    "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/", "dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"}, "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, **{term: f"cr:{term}" for term in CR},
}  # fmt: skip
MEDIA_TYPES = {
    ".bib": "application/x-bibtex", ".cff": "application/yaml", ".css": "text/css", ".csv": "text/csv",
    ".gz": "application/gzip", ".h5": "application/x-hdf5", ".html": "text/html", ".ico": "image/x-icon",
    ".ipynb": "application/x-ipynb+json", ".js": "text/javascript", ".json": "application/json",
    ".jsonld": "application/ld+json", ".keras": "application/zip", ".lock": "text/plain", ".map": "application/json",
    ".md": "text/markdown", ".npz": "application/zip", ".png": "image/png", ".py": "text/x-python", ".svg": "image/svg+xml",
    ".tar": "application/x-tar", ".tgz": "application/gzip", ".toml": "application/toml", ".txt": "text/plain",
    ".woff2": "font/woff2", ".yaml": "application/yaml", ".yml": "application/yaml", ".zip": "application/zip",
}  # fmt: skip
SETTINGS = (
    "epochs", "batch_size", "optimiser", "learning_rate", "schedule", "dropout", "class_weights", "augmentation",
    "validation_share", "precision", "seed", "seeds",
)  # fmt: skip


def croissant(info: datasets.DatasetInfo, images: bytes | None = None, *, made_up: bool = False) -> dict[str, Any]:
    """Return a dataset's card as Croissant 1.0, which is JSON-LD.

    `images` is the content of `<name>.csv` next to the card, see `images_csv`. `made_up` says that the demo world drew the
    images under the name of a real dataset.
    """
    files, record_sets = [], []
    if images is not None:
        facts = {"contentSize": f"{len(images)} B", "sha256": hashlib.sha256(images).hexdigest()}
        table = f"{info.name}.csv"
        files.append(_file(table, table, "text/csv") | facts | {"description": "The images that were used."})
        source = {"fileObject": {"@id": table}}
        columns = [
            _field("images", column, "Text", description=meaning, source=source | {"extract": {"column": column}})
            for column, meaning in COLUMNS.items()
        ]
        record_sets.append(_record_set("images", "One row per image.", "image_id", columns))
    if not made_up:
        files += [_download(one) for one in info.downloads if one.checksum]
        record_sets += _classes(info)
    found = {
        "@context": CONTEXT, "@type": "sc:Dataset", "conformsTo": CROISSANT, "name": info.name,
        "alternateName": f"{info.title}, made up" if made_up else info.title, "description": _description(info, made_up),
        "license": "https://spdx.org/licenses/MIT" if made_up else info.licence, "url": info.url, "keywords": [info.modality],
        "citeAs": "" if made_up else _citation(info.citation), "distribution": files, "recordSet": record_sets,
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


def images_csv(table: pd.DataFrame) -> bytes:
    """Return the table of the images that were used: columns image_id, label, group."""
    return table[list(COLUMNS)].to_csv(index=False, lineterminator="\n").encode()


def _citation(key: str) -> str:
    """BibTeX entry in `book/references.bib`; "" if it is missing."""
    from pybtex.database import parse_file

    path = paths.root() / "book" / "references.bib"
    entries = parse_file(str(path), "bibtex").entries if path.is_file() else {}
    return entries[key].to_string("bibtex").strip() if key in entries else ""


def _description(info: datasets.DatasetInfo, made_up: bool) -> str:
    if made_up:
        return (
            f"Small images that this project's demo world draws under the name of {info.title}; their shared structure is "
            "known. They show no patients and nothing of the real dataset."
        )
    n_images = f", {info.n_images:,} images" if info.n_images else ""
    group = f" Images of one {info.group} belong together." if info.group else " No groups of images are recorded."
    return f"{info.title}: {info.modality}{n_images}.{group}"


def _download(published: Any) -> dict[str, Any]:
    kind, _, checksum = published.checksum.partition(":")
    media_type = MEDIA_TYPES.get(PurePosixPath(published.file_name.lower()).suffix, "application/octet-stream")
    size = {"contentSize": f"{published.n_bytes} B"} if published.n_bytes else {}
    return _file(published.file_name, published.url, media_type) | {kind: checksum} | size


def _file(name: str, url: str, media_type: str) -> dict[str, Any]:
    return {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": url, "encodingFormat": media_type}


def _classes(info: datasets.DatasetInfo) -> list[dict[str, Any]]:
    """The classes in their order, if known, with the published number of images if it is known for all of them."""
    classes, fields = tuple(info.classes) or tuple(info.n_per_class), [_field("classes", "name", "Text")]
    rows = [{"classes/name": label} for label in classes]
    if all(label in info.n_per_class for label in classes):
        fields.append(_field("classes", "n_images", "Integer"))
        rows = [row | {"classes/n_images": info.n_per_class[row["classes/name"]]} for row in rows]
    return [_record_set("classes", "Classes, with published counts.", "name", fields) | {"data": rows}] if rows else []


def _field(record_set: str, name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{record_set}/{name}", "name": name, "dataType": f"sc:{kind}"} | more


def _record_set(name: str, description: str, key: str, fields: list[dict]) -> dict[str, Any]:
    found = {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description}
    return found | {"key": {"@id": f"{name}/{key}"}, "field": fields}


def of_networks(profile: str) -> Iterator[tuple[str, str]]:
    """Yield `step/name` of every run with a saved network, and the network's card in Markdown.

    AUCs and intervals come from the profile's tables; without these tables the card says so.
    """
    from catscans_lib.book import templates

    template = templates.template("_model_card.md", {})
    for step in ("pretrain", "transfer"):
        for name in results.finished(profile, step):
            if (paths.run_dir(profile, step, name) / "model.keras").is_file():
                yield f"{step}/{name}", template.render(_facts(profile, step, name))


def _facts(profile: str, step: str, name: str) -> dict[str, Any]:
    record = results.record(profile, f"{step}/{name}")
    parameters = record["parameters"]
    source, target = parameters["source"], parameters.get("target")
    known = parameters | ({"precision": record["precision"]} if "precision" in record else {})  # instead of "auto"
    intervals = results.optional(profile, "tables/auc_intervals.csv", columns=["source", "target", "mode", "method"])
    is_asked = (intervals["source"] == source) & intervals["method"].str.startswith("bootstrap")
    is_asked &= (intervals["target"] == target) if target else True
    return {
        "profile": profile,
        "name": name,
        "record": record,
        "source": source,
        "target": target,
        "network": registry.find(parameters["backbone"]),
        "used": [datasets.get(key) for key in (target, source) if key and key != "none"],
        "settings": {key: known[key] for key in SETTINGS if key in known},
        "is_demo": profiles.load(profile).data == "demo",
        "published": datasets.PUBLISHED,
        "titles": datasets.titles(),
        "rows": intervals[is_asked].to_dict("records"),
        "failed": learning.failures(results.optional(profile, "tables/learning.csv", [*CELL, "verdict"])),
        "saved": _saved_fold(profile, source, target, parameters["seeds"][-1]) if target else None,
    }


def _saved_fold(profile: str, source: str, target: str, seed: int) -> dict[str, Any] | None:
    """AUC of the saved network, which is that of the last fold and seed, on the images held out from it."""
    aucs = results.optional(profile, "tables/aucs.csv", columns=["source", "target", "mode", "seed"])
    rows = aucs.query("source == @source and target == @target and mode == 'fine_tune' and seed == @seed")
    return None if rows.empty else rows.loc[rows["fold"].idxmax()].to_dict()
