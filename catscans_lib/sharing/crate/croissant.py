"""The card of a dataset as Croissant metadata, which other tools read: Akhtar et al. (2024), arXiv:2403.19546."""

import hashlib
import re
from typing import Any

import pandas as pd

from catscans_lib import paths
from catscans_lib.datasets.cards import DatasetInfo, Download

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
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
MIT = "https://spdx.org/licenses/MIT"
MEDIA_TYPES = {
    ".bib": "application/x-bibtex", ".cff": "application/yaml", ".css": "text/css", ".csv": "text/csv",
    ".gz": "application/gzip", ".h5": "application/x-hdf5", ".html": "text/html", ".ico": "image/x-icon",
    ".ipynb": "application/x-ipynb+json", ".js": "text/javascript", ".json": "application/json",
    ".jsonld": "application/ld+json", ".keras": "application/zip", ".lock": "text/plain", ".map": "application/json",
    ".md": "text/markdown", ".npz": "application/zip", ".png": "image/png", ".py": "text/x-python", ".svg": "image/svg+xml",
    ".tar": "application/x-tar", ".tgz": "application/gzip", ".toml": "application/toml", ".txt": "text/plain",
    ".woff2": "font/woff2", ".yaml": "application/yaml", ".yml": "application/yaml", ".zip": "application/zip",
}  # fmt: skip


def card(info: DatasetInfo, images: bytes | None = None, *, made_up: bool = False) -> dict[str, Any]:
    """Return a dataset's card as Croissant 1.0, which is JSON-LD.

    `images` is the content of ``<name>.csv`` beside the card: the images that were used, with columns image_id, label and group.
    `made_up` says that the demo world drew them, under the name of a real dataset.
    """
    classes = tuple(info.classes) or tuple(info.n_per_class)
    files = [] if made_up else [_download(one) for one in info.downloads if one.checksum]
    record_sets = [_classes(classes, info)] if classes and not made_up else []
    if images is not None:
        files.insert(0, _table(info.name, images))
        record_sets.insert(0, _images(info.name))
    found = {
        "@context": CONTEXT, "@type": "sc:Dataset", "conformsTo": CONFORMS_TO, "name": info.name,
        "alternateName": f"{info.title}, made up" if made_up else info.title, "description": _description(info, made_up),
        "license": MIT if made_up else info.licence, "url": info.url, "keywords": [info.modality],
        "citeAs": "" if made_up else _citation(info.citation), "distribution": files, "recordSet": record_sets,
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


def images_csv(table: pd.DataFrame) -> bytes:
    """Return the table of images that belongs beside a card."""
    return table[list(COLUMNS)].to_csv(index=False, lineterminator="\n").encode()


def _citation(key: str) -> str:
    """BibTeX entry of ``book/references.bib``; empty if it is not there."""
    from pybtex.database import parse_file

    path = paths.root() / "book" / "references.bib"
    entries = parse_file(str(path), "bibtex").entries if path.is_file() else {}
    return entries[key].to_string("bibtex").strip() if key in entries else ""


def _description(info: DatasetInfo, made_up: bool) -> str:
    if made_up:
        return (
            f"Small images that this project's demo world draws under the name of {info.title}; their shared structure is "
            "known. They show no patients and nothing of the real dataset."
        )
    n_images = f", {info.n_images:,} images" if info.n_images else ""
    group = f" Images of one {info.group} belong together." if info.group else " No groups of images are recorded."
    return f"{info.title}: {info.modality}{n_images}.{group}"


def _download(published: Download) -> dict[str, Any]:
    kind, _, checksum = published.checksum.partition(":")
    suffix = re.search(r"\.[a-z0-9]+$", published.file_name.lower())
    media_type = MEDIA_TYPES.get(suffix[0] if suffix else "", "application/octet-stream")
    size = {"contentSize": f"{published.n_bytes} B"} if published.n_bytes else {}
    return _file(published.file_name, published.url, media_type) | {kind: checksum} | size


def _table(name: str, images: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(images).hexdigest()
    facts = {"description": "The images that were used.", "contentSize": f"{len(images)} B", "sha256": sha256}
    return _file(f"{name}.csv", f"{name}.csv", "text/csv") | facts


def _file(name: str, url: str, media_type: str) -> dict[str, Any]:
    return {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": url, "encodingFormat": media_type}


def _images(name: str) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field", "@id": f"images/{column}", "name": column, "description": meaning, "dataType": "sc:Text",
            "source": {"fileObject": {"@id": f"{name}.csv"}, "extract": {"column": column}},
        }
        for column, meaning in COLUMNS.items()
    ]  # fmt: skip
    return _record_set("images", "One row per image.", "image_id", fields)


def _classes(classes: tuple[str, ...], info: DatasetInfo) -> dict[str, Any]:
    """The classes in their order, with the published number of images if it is known for all of them."""
    is_counted = all(label in info.n_per_class for label in classes)
    kinds = {"name": "sc:Text"} | ({"n_images": "sc:Integer"} if is_counted else {})
    fields = [
        {"@type": "cr:Field", "@id": f"classes/{name}", "name": name, "dataType": kind} for name, kind in kinds.items()
    ]
    counts = [{"classes/n_images": info.n_per_class[label]} if is_counted else {} for label in classes]
    rows = [{"classes/name": label} | count for label, count in zip(classes, counts, strict=True)]
    return _record_set("classes", "Classes, with published counts.", "name", fields) | {"data": rows}


def _record_set(name: str, description: str, key: str, fields: list[dict]) -> dict[str, Any]:
    found = {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description}
    return found | {"key": {"@id": f"{name}/{key}"}, "field": fields}
