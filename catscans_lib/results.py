"""The tidy tables of a profile, from the runs that are done.

>>> tables = load("demo")                                          # doctest: +SKIP
>>> tables["aucs"].groupby(["source", "target"])["auc"].mean()     # doctest: +SKIP
"""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from catscans_lib import paths
from catscans_lib.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

NUMBERS = (  # empty where there is none
    "value", "auc", "validation_loss", "difference", "statistic", "p", "p_adjusted", "low", "high", "fold_sd", "n_draws",
    "cohens_d", "p_max", "regret", "regret_imagenet",
)  # fmt: skip
RECORD = "run.json"
WORK_DIR = "CATSCANS_WORK_DIR"  # set by the runner: where a run writes, and that the runner will publish
ORIGIN = "CATSCANS_ORIGIN"  # set by the runner: what the run is made from


def new_work_dir(output: str, step: str, name: str) -> Path:
    """Return an empty work folder; what an interrupted attempt left there is removed."""
    work = paths.work_dir(output, step, name)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return work


def publish(output: str, step: str, name: str) -> Path:
    """Move a finished run from its work folder to its place, and its shared tables to theirs; return the place."""
    work, final = paths.work_dir(output, step, name), paths.run_dir(output, step, name)
    for table in sorted((work / "tables").glob("*.csv")):
        paths.tables_dir(output).mkdir(parents=True, exist_ok=True)
        shutil.copy2(table, paths.tables_dir(output) / f".{table.name}.part")
        (paths.tables_dir(output) / f".{table.name}.part").replace(paths.tables_dir(output) / table.name)
    old = final.with_name(f".{name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    work.rename(final)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(paths.checkpoint_dir(output, step, name), ignore_errors=True)
    return final


class Facts(NamedTuple):
    """What tells one finished run from another: its id, the recipe it was made from and the code in that; "" where unknown."""

    run_id: str
    recipe: str
    code: str


def facts(profile: str, key: str) -> Facts | None:
    """Return the facts of a run (`step/name`); None where it is not finished: its record is not in place or does not say so."""
    step, name = key.split("/")
    path = paths.run_dir(profile, step, name) / RECORD
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _facts(path, there.st_ino, there.st_mtime_ns, there.st_size)


@lru_cache(maxsize=2**17)
def _facts(path: Path, *version: int) -> Facts | None:
    """A record is read once as long as it stays: of thousands of runs each asks for all that it needs."""
    record = json.loads(path.read_text())
    if record.get("status") != "completed":
        return None
    return Facts(record.get("run_id", ""), record.get("recipe", ""), record.get("code", {}).get("fingerprint", ""))


def is_done(profile: str, key: str) -> bool:
    """Return whether a run (`step/name`) is finished: its record is in place and says so."""
    return facts(profile, key) is not None


def finished_at(profile: str, key: str) -> float:
    """Return when a run was finished (s since 1970); minus infinity where it is not."""
    step, name = key.split("/")
    return (paths.run_dir(profile, step, name) / RECORD).stat().st_mtime if is_done(profile, key) else float("-inf")


def record(profile: str, key: str) -> dict[str, Any]:
    """Return the `run.json` of a finished run."""
    if not is_done(profile, key):
        raise InputError(
            f"{key} is not done in profile {profile}. Make it: .venv/bin/catscans sweep --profile {profile} {key}"
        )
    step, name = key.split("/")
    return json.loads((paths.run_dir(profile, step, name) / RECORD).read_text())


def finished(profile: str, step: str) -> list[str]:
    """Return the names of a step's finished runs, sorted."""
    folder = paths.results_dir(profile) / step
    names = [path.parent.name for path in folder.glob(f"*/{RECORD}")]
    return sorted(name for name in names if not name.startswith(".") and is_done(profile, f"{step}/{name}"))


def table(profile: str, step: str, name: str, which: str) -> pd.DataFrame:
    """Return one CSV of one finished run; label columns and ids stay text."""
    path = paths.run_dir(profile, step, name) / f"{which}.csv"
    if not is_done(profile, f"{step}/{name}") or not path.is_file():
        raise InputError(
            f"No {which}.csv of {step}/{name} in profile {profile}; finished: {', '.join(finished(profile, step))}."
        )
    return read_table(path)


def optional(profile: str, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """Return one table of a profile by its place; empty, with these columns, where it was not made or has no rows."""
    path = paths.results_dir(profile) / name
    if not path.exists() or not path.read_text(encoding="utf-8").strip():
        import pandas as pd

        return pd.DataFrame(columns=columns)
    return read_table(path)


def read_table(path: Any) -> pd.DataFrame:
    """Read a tidy CSV: ids, groups and labels as text (an id like 0123 keeps its zero; a class may be called NA)."""
    import pandas as pd

    text = {
        column: str
        for column in ("image_id", "group", "label", "source", "target", "class", "split", "sha256", "probe")
    }
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values={column: [""] for column in NUMBERS})


def transfers(profile: str, order: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """Return name, source and target of every finished transfer run, sorted by target and then by source.

    Datasets in `order` come first, in that order; the others follow by name. InputError if no run is finished.
    """
    place = _place(order)
    rows = [(name, *name.split("--")) for name in _finished_or_error(profile, "transfer")]
    return sorted(rows, key=lambda row: (place(row[2]), place(row[1])))


def of_transfers(profile: str, which: str, order: Sequence[str] = ()) -> pd.DataFrame:
    """Concatenate one table of all finished transfer runs (sorted as in `transfers`); adds columns source and target."""
    import pandas as pd

    parts = []
    for name, source, target in transfers(profile, order):
        part = table(profile, "transfer", name, which)
        part.insert(0, "target", target)
        part.insert(0, "source", source)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def run_ids(profile: str) -> dict[tuple[str, str], str]:
    """Return the id of every finished transfer run, by source and target."""
    return {
        (source, target): record(profile, f"transfer/{name}")["run_id"] for name, source, target in transfers(profile)
    }


def of_similarities(profile: str, order: Sequence[str] = ()) -> pd.DataFrame:
    """Concatenate the measures of all finished similarity runs; targets sorted as in `transfers`."""
    import pandas as pd

    names = sorted(_finished_or_error(profile, "similarity"), key=_place(order))
    return pd.concat([table(profile, "similarity", name, "similarity") for name in names], ignore_index=True)


def _finished_or_error(profile: str, step: str) -> list[str]:
    names = finished(profile, step)
    if not names:
        raise InputError(
            f"Profile {profile} has no finished {step} run. Run the sweep: .venv/bin/catscans sweep --profile {profile}"
        )
    return names


def _place(order: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """Return a sort key: the place in `order`; other names come after these, by name."""
    places = {name: place for place, name in enumerate(order)}
    return lambda name: (places.get(name, len(places)), name)


def load(profile: str) -> dict[str, pd.DataFrame]:
    """Return every tidy table of a profile by name: those over all runs, and `history` and `predictions` of the transfers.

    Scores of classes another target has are NaN in `predictions`.
    """
    tables = {path.stem: read_table(path) for path in sorted(paths.tables_dir(profile).glob("*.csv"))}
    return tables | {which: of_transfers(profile, which) for which in ("history", "predictions")}
