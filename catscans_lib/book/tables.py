"""All tables of a profile and the published evidence in one zip, with a data dictionary and Croissant metadata.

In: the results, and `book/dictionary.yaml`, which says what every table and column means. Out: the zip, and the dictionary.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import islice
from typing import Any, NamedTuple

import pandas as pd
import yaml

from catscans_lib import paths, results
from catscans_lib.book import templates
from catscans_lib.errors import InputError
from catscans_lib.evidence import studies
from catscans_lib.sharing import archives

CONTEXT = {  # how Croissant names its types
    "whole number": "sc:Integer", "number": "sc:Float", "yes or no": "sc:Boolean", "text": "sc:Text", "no values": "sc:Text",
}  # fmt: skip


class Column(NamedTuple):
    """A column of a table; type and unit are words, and an unknown meaning is ""."""

    name: str
    type: str
    unit: str
    meaning: str


class Table(NamedTuple):
    """A table with its columns; `file` is its place below the profile's results.

    Of a table with a row per image or epoch (`is_large`), `content` is that of one run.
    """

    name: str
    about: str
    file: str
    is_large: bool
    columns: list[Column]
    content: pd.DataFrame


def of_profile(profile: str) -> list[Table]:
    """Return the tables that a profile has, in the order of the dictionary."""
    stated = yaml.safe_load((paths.root() / "book" / "dictionary.yaml").read_text(encoding="utf-8"))
    found = []
    for name, facts in stated["tables"].items():
        is_large = not facts.get("packed", True)
        parts = dict(islice(_read(profile, facts), 1 if is_large else None))
        if not parts:
            continue
        content = pd.concat(parts, names=[facts.get("by", "run"), None]).reset_index(level=0).reset_index(drop=True)
        content = content if "by" in facts else content.drop(columns="run")
        meanings = stated["columns"] | {"run": "run of the step"} | facts.get("columns", {})
        if name == "evidence":
            meanings |= _scores()
        columns = [Column(column, _type(content[column]), *_meaning(column, meanings)) for column in content]
        file = facts.get("file", "evidence/*.csv of the project")
        found.append(Table(name, facts["about"], file, is_large, columns, content))
    return found


def _read(profile: str, facts: dict[str, Any]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the parts of a table by the name of their run."""
    if "file" not in facts:
        if (paths.root() / "evidence").is_dir():
            yield "", results.evidence()
        return
    for path in sorted(paths.results_dir(profile).glob(facts["file"])):
        if not any(part.startswith(".") for part in path.parts[-2:]):
            yield path.stem if facts["file"].endswith("*.csv") else path.parent.name, results.read_table(path)


def _scores() -> dict[str, str]:
    """Return what the columns of single studies mean."""
    of_studies = studies.described().values()
    found = {column: f"score of the study: {title}" for one in of_studies for column, title in one.scores.items()}
    found |= {column: f"what a score has to beat: {title}" for one in of_studies for column, title in one.rules.items()}
    return found | {column: meaning for one in of_studies for column, meaning in one.also.items()}


def _meaning(column: str, meanings: dict[str, str]) -> tuple[str, str]:
    """Return unit and meaning of a column.

    >>> _meaning("score_MEL", {"score_*": "probability [0 to 1]"})
    ('0 to 1', 'probability')
    """
    text = meanings.get(column) or next((said for name, said in meanings.items() if fnmatch(column, name)), "")
    match = re.fullmatch(r"(.*?)(?: \[(.*)\])?", text)
    return match[2] or "", match[1]


def _type(column: pd.Series) -> str:
    if not len(column):
        return "no values"
    kinds = {"b": "yes or no", "i": "whole number", "u": "whole number", "f": "number"}
    return kinds.get(column.dtype.kind, "text")


def packed(profile: str, cited: dict[str, Any], *, parquet: bool = False) -> bytes:
    """Return the zip; the same results give the same bytes. `cited` is what `book.citation` states.

    InputError for Parquet without pyarrow, and for a profile without tables.
    """
    tables = [table for table in of_profile(profile) if not table.is_large]
    if not tables:
        raise InputError(f"Profile '{profile}' has no tables. Make them: {results.SWEEP} {profile}")
    ending = "parquet" if parquet else "csv"
    files = {f"{table.name}.{ending}": _bytes(table.content, parquet) for table in tables}
    rows = [(table.name, *column) for table in tables for column in table.columns]
    listed = pd.DataFrame(rows, columns=["table", "column", "type", "unit", "meaning"])
    described = templates.rendered(
        "_croissant.json", profile=profile, tables=tables, cited=cited, ending=ending, types=CONTEXT,
        digests={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )  # fmt: skip
    files |= {"dictionary.csv": listed.to_csv(index=False, lineterminator="\n").encode()}
    files |= {"croissant.json": (json.dumps(json.loads(described), indent=1, ensure_ascii=False) + "\n").encode()}
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            archives.add_file(archive, name, content)
    return whole.getvalue()


def _bytes(table: pd.DataFrame, parquet: bool) -> bytes:
    if not parquet:
        return table.to_csv(index=False, lineterminator="\n").encode()
    try:
        return table.to_parquet(index=False, engine="pyarrow")
    except ImportError:
        raise InputError(
            "Parquet needs pyarrow, which is not installed. Install it (.venv/bin/pip install pyarrow), or leave out --parquet."
        ) from None
