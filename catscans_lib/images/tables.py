"""Tables as people have them: a CSV of any common dialect, read as text, with the rows that could not be read."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from catscans_lib.errors import InputError
from catscans_lib.images import findings
from catscans_lib.images.listing import Problem

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = (",", ";", "\t", "|")
NO_GROUP = {"", "-", "?", "na", "n/a", "nan", "<na>", "none", "null", "unk", "unknown", "missing", "not available"}
NO_LABEL = {"", "na", "n/a", "nan", "<na>", "null"}


def read(
    path: Path, columns: Sequence[str] = (), advice: str = "Download it again."
) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a table as text: rows, and problems (lines that were left out, notes).

    InputError, which ends with `advice`, if it cannot be read or lacks one of `columns` (in any case). The delimiter is the
    one that cuts the first line into most parts; UTF-8, UTF-16 with its mark, or else Windows-1252 (noted).
    """
    import pandas as pd

    problems: list[Problem] = []
    lines = _lines(_text(path, problems, advice), path, advice)
    header, rows = lines[0], lines[1:]
    whole = []
    for number, row in enumerate(rows, start=2):
        if any(row[len(header) :]):
            said = f"has {len(row)} values, the first line {len(header)}; quote values that contain the delimiter"
            problems.append(Problem(f"{path.name}: row {number}", f"{said}; left out"))
        else:
            whole.append((row + [""] * len(header))[: len(header)])
    table = pd.DataFrame(whole, columns=range(len(header)), dtype=str)
    named = [number for number, name in enumerate(header) if name]
    table = table[named].set_axis([header[number] for number in named], axis=1)
    return spelled(table, path, columns, advice), problems


def read_csv(path: Path, columns: Sequence[str], advice: str = "Download it again.") -> pd.DataFrame:
    """Return the rows of a published table as `read` does; InputError also if a line could not be read."""
    rows, problems = read(path, columns, advice)
    if problems:
        raise InputError(f"Cannot read '{path}': {problems[0].path or path.name}: {problems[0].problem}. {advice}")
    return rows


def numbers(column: pd.Series) -> np.ndarray:
    """Return text as numbers, NaN where it is none."""
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").to_numpy(float)


def one_hot(table: pd.DataFrame, columns: Sequence[str], *, multi_label: bool = False) -> tuple[list[str], list[str]]:
    """Return, for every row, the one column that is 1 ("" if it is not exactly one), and what is wrong ("": nothing)."""
    values = np.column_stack([numbers(table[column].replace("", "0")) for column in columns])
    named = [[column for column, value in zip(columns, row, strict=True) if value == 1] for row in values]
    if multi_label:  # all columns that are 1; a blank cell is 0, but a row of them has no label
        odd, is_blank = ~np.isin(values, (0, 1)), (table[list(columns)] == "").all(axis=1)
        said = [f"'{columns[row.argmax()]}' is neither 0 nor 1" if row.any() else "" for row in odd]
        found = [findings.label(names) if names else (findings.NO_FINDING, "") for names in named]
        found = [("", "no label") if blank else one for one, blank in zip(found, is_blank, strict=True)]
        return [label for label, _ in found], [fault or more for (_, more), fault in zip(found, said, strict=True)]
    labels = [found[0] if len(found) == 1 else "" for found in named]
    faults = [f"{len(found)} classes ({', '.join(found)}) instead of one" if len(found) != 1 else "" for found in named]
    return labels, faults


def one_hot_columns(table: pd.DataFrame, *, multi_label: bool = False) -> list[str]:
    """Return the columns that hold only 0 and 1 (or with `multi_label` nothing), if there are at least two; without it, only
    if most rows have exactly one 1.
    """
    form = r"(?:[01](?:[.]0*)?)?" if multi_label else r"[01](?:[.]0*)?"
    found = [name for name in table if table[name].str.fullmatch(form).all() and table[name].any()]
    if multi_label:
        return found if len(found) > 1 else []
    labels = one_hot(table, found)[0] if len(found) > 1 else []
    return found if sum(label != "" for label in labels) > 0.5 * len(table) else []


def _text(path: Path, problems: list[Problem], advice: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}. {advice}") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
        problems.append(Problem("", f"{path.name} is not UTF-8; read as Windows-1252. Check letters with accents."))
    if "\0" in text:
        raise InputError(f"'{path}' is not a text file. Save the table as CSV (UTF-8).")
    return text


def _lines(text: str, path: Path, advice: str) -> list[list[str]]:
    """Return the values of every line that is not blank; the first is the header."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=lambda one: len(next(_rows(first, one), [])))
    try:
        try:
            lines = list(_rows(text, delimiter, strict=True))
        except csv.Error:  # a single quotation mark, which may swallow the lines that follow: quotes are only cut off
            lines = [[value.strip(' "') for value in row] for row in _rows(text, delimiter, quoting=csv.QUOTE_NONE)]
    except csv.Error as error:
        raise InputError(f"Cannot read '{path}' as a CSV: {error}. {advice}") from error
    lines = [line for line in ([value.strip(" \t\r\n") for value in row] for row in lines) if any(line)]
    if not lines:
        raise InputError(f"Cannot read '{path}': it is empty. {advice}")
    return lines


def _rows(text: str, delimiter: str, **how: int) -> csv.reader:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, **how)


def spelled(table: pd.DataFrame, path: Path, columns: Sequence[str], advice: str) -> pd.DataFrame:
    """Rename the columns that differ from `columns` in case only; InputError if one is missing or there twice."""
    names = list(table)
    for wanted in columns:
        same = [name for name in names if name == wanted] or [name for name in names if name.lower() == wanted.lower()]
        if len(same) > 1:
            raise InputError(f"'{path}' has {len(same)} columns '{wanted}'. Rename one. {advice}")
        if same:
            names[names.index(same[0])] = wanted
    if missing := [column for column in columns if column not in names]:
        raise InputError(f"'{path}' lacks {', '.join(missing)}; it has {', '.join(table)}. {advice}")
    return table.set_axis(names, axis=1)
