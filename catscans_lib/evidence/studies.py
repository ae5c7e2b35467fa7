"""Reads the published tables in `evidence/`: one record per study, one tidy CSV of its outcomes, which tests hold against it."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import yaml
from pydantic import Field

from catscans_lib import datasets, paths
from catscans_lib.errors import Count, Strict, unknown, validated

Text = Annotated[str, Field(min_length=3)]
OWN = "own_"  # begins the names of our own runs
COLUMNS = [
    "source", "source_kind", "pretraining_data", "overlap", "backbone", "target", "modality", "mode", "n_train", "metric", "fold",
    "seed", "value", "low", "high",
]  # fmt: skip
NUMBERS = ("n_train", "fold", "seed", "value", "low", "high")


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
    """Return the record of every study by name; InputError if one is not valid."""
    path = folder() / "studies.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: validated(Study, values, f"{paths.relative(path)}: {name}") for name, values in content.items()}


def read(name: str) -> pd.DataFrame:
    """Return the table of a study, with its name in the first column."""
    known = described()
    if name not in known:
        raise unknown("study", name, known)
    return _read(name, known[name])


def load() -> dict[str, pd.DataFrame]:
    """Return the tables of all studies by name."""
    return {name: _read(name, study) for name, study in described().items()}


def _read(name: str, study: Study) -> pd.DataFrame:
    table = pd.read_csv(folder() / f"{name}.csv", keep_default_na=False, dtype=str)
    known = table.where(table != "")
    for column in (*NUMBERS, *study.rules, *study.scores):
        table[column] = pd.to_numeric(known[column])
    for column in study.also:
        with suppress(ValueError):  # text
            table[column] = pd.to_numeric(known[column])
    return table.assign(study=name)[["study", *study.columns]]
