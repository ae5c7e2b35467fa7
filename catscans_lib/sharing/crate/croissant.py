"""The card of a dataset as Croissant metadata, which other tools read: Akhtar et al. (2024), arXiv:2403.19546."""

import hashlib
import re
from typing import Any

import pandas as pd

from catscans_lib import datasets, paths
from catscans_lib.datasets.cards import DatasetInfo, Download
from catscans_lib.grid import expand

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
COLUMNS = {
    "image_id": "Name of the image in its dataset.",
    "label": "Its class.",
    "group": "Images of one group share a fold.",
}
CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field",
    "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
    "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references",
    "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip
MIT = "https://spdx.org/licenses/MIT"
MEDIA = {
    ".zip": "application/zip", ".npz": "application/zip", ".gz": "application/gzip", ".tgz": "application/gzip",
    ".tar": "application/x-tar", ".h5": "application/x-hdf5", ".csv": "text/csv",
}  # fmt: skip


def card(info: DatasetInfo, images: bytes | None = None, *, made_up: bool = False) -> dict[str, Any]:
    """Return a dataset's card as Croissant 1.0, which is JSON-LD.

    Parameters
    ----------
    images : bytes, optional
        Content of ``<name>.csv`` beside the card, with columns image_id, label and group: the images that were used.
    made_up : bool
        Whether the images are those of the demo world, which are only called like the real ones.
    """
    title = f"{info.title}, made up" if made_up else info.title
    classes = tuple(info.classes) or tuple(info.n_per_class)
    found = {
        "@context": CONTEXT, "@type": "sc:Dataset", "conformsTo": CONFORMS_TO, "name": info.name, "alternateName": title,
        "description": _description(info, made_up), "license": MIT if made_up else info.licence, "url": info.url,
        "keywords": [info.modality], "citeAs": "" if made_up else citation(info.citation),
    }  # fmt: skip
    files = [_file(one) for one in info.downloads if one.checksum and not made_up]
    sets = [_classes(classes, info)] if classes and not made_up else []
    if images is not None:
        files.insert(0, _table(info.name, images))
        sets.insert(0, _images(info.name))
    return {key: value for key, value in (found | {"distribution": files, "recordSet": sets}).items() if value}


def images_csv(table: pd.DataFrame) -> bytes:
    """Return the table of images that goes beside a card."""
    return table[list(COLUMNS)].to_csv(index=False, lineterminator="\n").encode()


def citation(key: str) -> str:
    """Return a work of ``book/references.bib`` as BibTeX; nothing for one that is not there."""
    from pybtex.database import parse_file

    path = paths.root() / "book" / "references.bib"
    entries = parse_file(str(path), "bibtex").entries if path.is_file() else {}
    return entries[key].to_string("bibtex").strip() if key in entries else ""


def _description(info: DatasetInfo, made_up: bool) -> str:
    if made_up:
        return (
            f"Small images that this project's demo world draws, called like {info.title}: their shared structure is known. "
            "They show no patient and nothing of the real dataset."
        )
    n_images = f", {info.n_images:,} images" if info.n_images else ""
    group = f" Images of one {info.group} belong together." if info.group else " No groups of images are recorded."
    return f"{info.title}: {info.modality}{n_images}.{group}"


def _file(published: Download) -> dict[str, Any]:
    kind, _, checksum = published.checksum.partition(":")
    suffix = re.search(r"\.[a-z0-9]+$", published.file_name.lower())
    media = MEDIA.get(suffix[0] if suffix else "", "application/octet-stream")
    size = {"contentSize": f"{published.n_bytes} B"} if published.n_bytes else {}
    return {
        "@type": "cr:FileObject", "@id": published.file_name, "name": published.file_name, "contentUrl": published.url,
        "encodingFormat": media, kind: checksum, **size,
    }  # fmt: skip


def _table(name: str, images: bytes) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject", "@id": f"{name}.csv", "name": f"{name}.csv", "contentUrl": f"{name}.csv",
        "description": "The images that were used.", "encodingFormat": "text/csv", "contentSize": f"{len(images)} B",
        "sha256": hashlib.sha256(images).hexdigest(),
    }  # fmt: skip


def _images(name: str) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field", "@id": f"images/{column}", "name": column, "description": meaning, "dataType": "sc:Text",
            "source": {"fileObject": {"@id": f"{name}.csv"}, "extract": {"column": column}},
        }
        for column, meaning in COLUMNS.items()
    ]  # fmt: skip
    return {
        "@type": "cr:RecordSet", "@id": "images", "name": "images", "description": "One row an image.",
        "key": {"@id": "images/image_id"}, "field": fields,
    }  # fmt: skip


def _classes(classes: tuple[str, ...], info: DatasetInfo) -> dict[str, Any]:
    """The classes in their order, with the published number of images where there is one."""
    counted = all(label in info.n_per_class for label in classes)
    kinds = {"name": "sc:Text"} | ({"n_images": "sc:Integer"} if counted else {})
    fields = [
        {"@type": "cr:Field", "@id": f"classes/{one}", "name": one, "dataType": kind} for one, kind in kinds.items()
    ]
    rows = [
        {"classes/name": label} | ({"classes/n_images": info.n_per_class[label]} if counted else {})
        for label in classes
    ]
    return {
        "@type": "cr:RecordSet", "@id": "classes", "name": "classes", "description": "Classes, with published counts.",
        "key": {"@id": "classes/name"}, "field": fields, "data": rows,
    }  # fmt: skip


def of_profile(profile: str, dataset: str, images: bytes | None) -> dict[str, Any]:
    """Return the card of a dataset as a profile used it; InputError for an unknown dataset."""
    made_up = expand.load(profile).data == "demo"
    return card(datasets.get(dataset), images, made_up=made_up and dataset in datasets.PUBLISHED)
