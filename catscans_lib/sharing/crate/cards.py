"""The cards in a crate: the facts of a dataset as JSON, and the table of its images."""

from dataclasses import asdict, fields
from typing import Any

import pandas as pd

from catscans_lib import datasets, paths

COLUMNS = ["image_id", "label", "group"]
NO_FACTS = ("reader", "places", "reading", "by_hand", "is_below_data_dir")  # how a dataset is read, not what it is


def of_dataset(info: datasets.DatasetInfo, *, made_up: bool = False) -> dict[str, Any]:
    """Return the facts of a dataset's card, as JSON takes them; `citation` is the entry in BibTeX.

    `made_up` says that the demo world drew the images under the name of a real dataset.
    """
    if made_up:
        text = (
            f"Small images that this project's demo world draws under the name of {info.title}; their shared structure is "
            "known. They show no patients and nothing of the real dataset."
        )
        return {"name": info.name, "title": f"{info.title}, made up", "description": text, "licence": "MIT"}
    known = {one.name: getattr(info, one.name) for one in fields(info) if one.name not in NO_FACTS}
    known |= {"citation": _citation(info.citation), "downloads": [asdict(one) for one in info.downloads]}
    return {name: value for name, value in known.items() if value}


def images_csv(table: pd.DataFrame) -> bytes:
    """Return the table of the images that were used: columns image_id, label, group."""
    return table[COLUMNS].to_csv(index=False, lineterminator="\n").encode()


def _citation(key: str) -> str:
    """BibTeX entry in `book/references.bib`; "" if it is missing."""
    from pybtex.database import parse_file

    path = paths.root() / "book" / "references.bib"
    entries = parse_file(str(path), "bibtex").entries if path.is_file() else {}
    return entries[key].to_string("bibtex").strip() if key in entries else ""
