"""Reads and checks the published tables in `evidence/`: one record per study, one tidy CSV of its outcomes."""

import re
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import yaml
from pydantic import Field

from catscans_lib import datasets, paths
from catscans_lib.errors import Count, InputError, Strict, unknown, validated

Text = Annotated[str, Field(min_length=3)]
OWN = "own_"  # begins the names of our own runs
KEY = ["source", "backbone", "target", "mode", "n_train", "metric", "fold", "seed"]
COLUMNS = [
    "source", "source_kind", "pretraining_data", "overlap", "backbone", "target", "modality", "mode", "n_train", "metric", "fold",
    "seed", "value", "low", "high",
]  # fmt: skip
VALUES = {  # allowed values of a column
    "source_kind": ("natural", "medical", "none"),
    "overlap": ("none", "possible", "known"),  # of the images or patients of source and target, also without labels
}
NUMBERS = ("n_train", "fold", "seed", "value", "low", "high")
SHARES = ("value", "low", "high")  # metrics lie in [0, 1]; larger is better


class Study(Strict):
    """What a table in `evidence/` is, where it comes from and what it cannot show."""

    title: Text
    citation: str = ""  # key in book/references.bib; empty, as the repository, for our own runs
    repository: str = ""  # owner and name on GitHub
    commit: Text
    versions: dict[str, str] = Field(default_factory=dict)  # of the libraries that made our own runs
    licence: Text
    rows: Count
    metrics: Annotated[list[str], Field(min_length=1)]
    repeats: Literal["folds", "seeds", "interval", "none"]  # interval: a published 95 % interval per row
    mode: str  # in which sources are compared
    of_one_network: bool = False  # natural and medical sources are compared only through networks that both kinds have
    caveats: Annotated[list[Text], Field(min_length=1)]
    scores: dict[str, str] = Field(default_factory=dict)  # column and title of what should predict the outcome
    distances: list[str] = Field(default_factory=list)  # those of the scores for which smaller is closer
    without_labels: list[str] = Field(default_factory=list)  # those that do not need the labels of the target
    rules: dict[str, str] = Field(default_factory=dict)  # the same of what a score has to beat; larger is closer
    also: dict[str, str] = Field(default_factory=dict)  # further columns and what they hold
    published: dict[str, str | float] = Field(default_factory=dict)  # numbers of its text, for comparison
    keys: list[str] = Field(default_factory=list)  # those of them that tell rows apart

    @property
    def columns(self) -> list[str]:
        """The columns of the table, in order."""
        return [*COLUMNS, *self.also, *self.rules, *self.scores]


def folder() -> Path:
    """Return the project's folder with published tables."""
    return paths.root() / "evidence"


def titles() -> dict[str, str]:
    """Return how names of sources, targets and networks in the tables are printed; others have spaces for underscores."""
    stated = yaml.safe_load((folder() / "titles.yaml").read_text(encoding="utf-8"))
    return stated | datasets.titles()


def printed(name: str, titles: dict[str, str]) -> str:
    """Return a name, perhaps with its network in brackets, as it is printed.

    >>> printed("er_status (x1_bit)", {"x1_bit": "BiT"})
    'er status (BiT)'
    """
    return re.sub(r"[\w.+-]+", lambda found: titles.get(found[0], found[0].replace("_", " ")), name)


def described() -> dict[str, Study]:
    """Return the record of every study by name; InputError if the description or the set of files is not valid."""
    path = folder() / "studies.yaml"
    where = paths.relative(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{where} cannot be read: {error}. Restore it from git.") from None
    found = {name: validated(Study, values, f"{where}: {name}") for name, values in (content or {}).items()}
    if wrong := sorted({file.stem for file in folder().glob("*.csv")} ^ set(found)):
        got = f"evidence/{wrong[0]}.csv {'is missing' if wrong[0] in found else 'has no entry there'}"
        raise InputError(f"{where}: {got}; known studies: {', '.join(found)}. Every study has one entry and one file.")
    return found


def read(name: str) -> pd.DataFrame:
    """Return the checked table of a study, with its name in the first column; InputError names file, row and rule."""
    known = described()
    if name not in known:
        raise unknown("study", name, known)
    return _checked(name, known[name])


def load() -> dict[str, pd.DataFrame]:
    """Return the checked tables of all studies by name."""
    return {name: _checked(name, study) for name, study in described().items()}


def _checked(name: str, study: Study) -> pd.DataFrame:
    file = f"evidence/{name}.csv"
    table = pd.read_csv(folder() / f"{name}.csv", keep_default_na=False, dtype=str)
    if wrong := set(study.columns) ^ set(table.columns):
        got = f"missing or unknown: {', '.join(sorted(wrong))}"
        raise InputError(f"{file} has other columns than described ({got}). Known: {', '.join(study.columns)}.")
    if len(table) != study.rows:
        raise InputError(f"{file} has {len(table)} rows; evidence/studies.yaml says {study.rows}. Correct one of them.")
    for column in (*NUMBERS, *study.rules, *study.scores, *study.also):
        numbers = pd.to_numeric(table[column].where(table[column] != ""), errors="coerce")
        is_text = numbers.isna() & (table[column] != "")
        if column not in study.also:
            _refuse(file, table, column, is_text, "a number or an empty cell is needed")
        table[column] = table[column] if is_text.any() else numbers
    _refuse(file, table, "value", table["value"].isna(), "every row needs a value")
    for column in SHARES:
        _refuse(file, table, column, ~table[column].fillna(0).between(0, 1), "metrics lie in [0, 1]")
    for column, allowed in VALUES.items() | {("metric", tuple(study.metrics))}:
        _refuse(file, table, column, ~table[column].isin(allowed), f"known: {', '.join(allowed)}")
    key = [*KEY, *study.keys]
    _refuse(file, table, "value", table.duplicated(key), f"another row has the same {', '.join(key)}")
    return table.assign(study=name)[["study", *study.columns]]


def _refuse(file: str, table: pd.DataFrame, column: str, is_wrong: pd.Series, rule: str) -> None:
    """Raise InputError for the first wrong cell; a row's number is its line in the file."""
    if is_wrong.any():
        place = int(is_wrong.to_numpy().argmax())
        raise InputError(f"{file}, line {place + 2}: {column} is '{table[column].iloc[place]}'; {rule}.")
