"""Read and publish the results of a profile: run records, and tidy tables such as `load("demo")["aucs"]`."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from catscans_lib import paths
from catscans_lib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("image_id", "group", "label", "source", "target", "class", "split", "sha256", "probe")
NUMBERS = (  # an empty cell means a missing number, as in every other column whose filled cells are numbers
    "value", "auc", "validation_loss", "difference", "statistic", "p", "p_adjusted", "low", "high", "fold_sd", "n_draws",
    "gain", "rank", "p_max", "regret", "regret_imagenet", "regret_elsewhere", "regret_probe", "training_loss", "constant_loss",
    "closed", "chance_auc", "sd_draws", "noise", "self_distance", "detectable_apart", "detectable_alike", "reliability",
    "ceiling", "n_train", "margin", "gain_low", "gain_high", "se_images", "se_seeds", "share_within", "sd", "share", "variance",
    "tau", "drop", "auc_inside", "auc_outside", "outside_low", "outside_high", "inside", "outside", "change", "covered_pct", "se",
)  # fmt: skip
RECORD = "run.json"
SWEEP = ".venv/bin/catscans sweep --profile"
# `runs.execute` gives both to the notebook of a run in a sweep; a notebook run by hand has neither.
WORK_DIR = "CATSCANS_WORK_DIR"  # variable: the folder that the notebook writes to, published when it is complete
ORIGIN = "origin.json"  # in that folder: what the run is made from (`recipe.Origin`); too long for a variable in a large grid


def new_work_dir(output: str, step: str, name: str) -> Path:
    """Return an empty work folder; removes what an interrupted run left there."""
    work = paths.work_dir(output, step, name)
    paths.remove_folder(work)
    work.mkdir(parents=True)
    return work


def publish(output: str, step: str, name: str) -> Path:
    """Move a finished run from its work folder to its final folder, and copy its shared tables; return the folder."""
    work, final = paths.work_dir(output, step, name), paths.run_dir(output, step, name)
    for table in sorted((work / "tables").glob("*.csv")):
        with paths.atomic_write(paths.tables_dir(output) / table.name) as part:
            shutil.copy2(table, part)
    for path in (*work.rglob("*"), work):  # a power cut must leave no folder with files that are empty or cut
        _sync(path)
    paths.replace_folder(work, final)
    _sync(final.parent)
    paths.remove_folder(paths.checkpoint_dir(output, step, name))
    return final


def _sync(path: Path) -> None:
    """Wait until a file, or the list of files in a folder, is on disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError:  # some network file systems sync no folders
        if path.is_file():
            raise
    finally:
        os.close(opened)


class Facts(NamedTuple):
    """Identity of a finished run: its id, the fingerprints of its recipe and of the code ("" if unknown), digests of files."""

    run_id: str
    recipe: str
    code: str
    files: dict[str, str]


def facts(profile: str, key: str) -> Facts | None:
    """Return the facts of a run (`step/name`), or None if its record is missing or not marked as completed."""
    path = _record_path(profile, key)
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _facts(path, there.st_ino, there.st_mtime_ns, there.st_size)


@lru_cache(maxsize=2**17)  # each of thousands of runs asks for the facts of its inputs
def _facts(path: Path, *version: int) -> Facts | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["status"] != "completed":
            return None
        code = record.get("code", {}).get("fingerprint", "")
        return Facts(record.get("run_id", ""), record.get("recipe", ""), code, record.get("files", {}))
    except (ValueError, KeyError, TypeError, AttributeError):
        print(f"{paths.relative(path)} is damaged, so its run counts as not done and runs again.", file=sys.stderr)
        return None


def _record_path(profile: str, key: str) -> Path:
    return paths.run_dir(profile, *key.split("/")) / RECORD


def is_done(profile: str, key: str) -> bool:
    """Return whether a run (`step/name`) is finished."""
    return facts(profile, key) is not None


def finished_at(profile: str, key: str) -> float:
    """Return when a run finished (seconds since 1970), or minus infinity if it has not."""
    return _record_path(profile, key).stat().st_mtime if is_done(profile, key) else float("-inf")


def record(profile: str, key: str) -> dict[str, Any]:
    """Return the `run.json` of a finished run."""
    if not is_done(profile, key):
        raise InputError(f"{key} is not done in profile {profile}. Make it: {SWEEP} {profile} {key}")
    return json.loads(_record_path(profile, key).read_text())


def finished(profile: str, step: str) -> list[str]:
    """Return the names of a step's finished runs, sorted."""
    names = [path.parent.name for path in (paths.results_dir(profile) / step).glob(f"*/{RECORD}")]
    return sorted(name for name in names if not name.startswith(".") and is_done(profile, f"{step}/{name}"))


def table(profile: str, step: str, name: str, which: str) -> pd.DataFrame:
    """Return one table of a finished run, read as in `read_table`."""
    return read_table(_table_path(profile, step, name, which))


def _table_path(profile: str, step: str, name: str, which: str) -> Path:
    path = paths.run_dir(profile, step, name) / f"{which}.csv"
    if not is_done(profile, f"{step}/{name}") or not path.is_file():
        done = ", ".join(finished(profile, step))
        raise InputError(f"No {which}.csv of {step}/{name} in profile {profile}; finished: {done}.")
    return path


def optional(profile: str, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """Return a table by its path in the profile's results; an empty table with `columns` if it is missing or empty."""
    import pandas as pd

    path = paths.results_dir(profile) / name
    is_empty = not path.exists() or not path.read_text(encoding="utf-8").strip()
    return pd.DataFrame(columns=columns) if is_empty else read_table(path)


def read_table(path: Any) -> pd.DataFrame:
    """Read a tidy CSV; ids, groups and labels stay text (0123 keeps its zero, and a class may be called NA)."""
    import pandas as pd

    missing = {column: [""] for column in NUMBERS}
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=missing)
    for column in table.columns[(table == "").any()].difference(TEXTS):
        numbers = pd.to_numeric(table[column].where(table[column] != ""), errors="coerce")
        if (numbers.notna() == (table[column] != "")).all() and numbers.notna().any():
            table[column] = numbers
    return table


def transfers(profile: str, order: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """Return name, source and target of every finished base run of transfer, sorted by target and then by source.

    Datasets in `order` come first, in that order; the others follow by name. InputError if no run is finished.
    """
    found = [row[:3] for row in variants(profile, order) if not row[3]]
    return found or _none_finished(profile, "transfer")


def variants(profile: str, order: Sequence[str] = ()) -> list[tuple[str, str, str, str]]:
    """Return name, source, target and axis of every finished transfer, sorted as in `transfers`, base runs first.

    The axis is what differs from the base run `dtd--chest`, whose axis is "": "size" (`dtd--chest@20`: 20 training images a
    fold; `@5c`: 5 of each class), "seed" of pretraining (`dtd@1--chest`), or "backbone" (`dtd+resnet50--chest`).
    """
    place, rows = _place(order), []
    for name in finished(profile, "transfer") or _none_finished(profile, "transfer"):
        (source, *of_source), (target, *of_target) = (re.split("([@+])", part) for part in name.split("--"))
        axis = "size" if of_target else {"@": "seed", "+": "backbone"}[of_source[0]] if of_source else ""
        rows.append((name, source, target, axis))
    return sorted(rows, key=lambda row: (place(row[2]), place(row[1]), bool(row[3])))


def of_transfers(profile: str, which: str, order: Sequence[str] = ()) -> pd.DataFrame:
    """Concatenate one table of all finished base runs, sorted as in `transfers`; adds columns source and target."""
    import pandas as pd

    names, *keys = zip(*transfers(profile, order), strict=True)
    return _read_together(profile, names, which, pd.DataFrame(dict(zip(("source", "target"), keys, strict=True))))


def of_variants(profile: str, which: str, order: Sequence[str] = ()) -> pd.DataFrame:
    """Concatenate one table of all finished transfers, sorted as in `variants`, whose axis becomes a column.

    Further new columns: source, target, backbone, pretrain_seed (missing for random weights), n_train (mean training images).
    """
    import pandas as pd

    names, keys = [], []
    for name, source, target, axis in variants(profile, order):
        made, network = record(profile, f"transfer/{name}"), f"pretrain/{name.split('--')[0]}"
        seed = record(profile, network)["parameters"]["seed"] if is_done(profile, network) else None
        names.append(name)
        keys.append((source, target, made["parameters"]["backbone"], seed, made["n_train"], axis))
    columns = ["source", "target", "backbone", "pretrain_seed", "n_train", "axis"]
    return _read_together(profile, names, which, pd.DataFrame(keys, columns=columns).astype({"pretrain_seed": "Int64"}))


def _read_together(profile: str, names: Sequence[str], which: str, keys: pd.DataFrame) -> pd.DataFrame:
    """Concatenate one table of transfers, read as in `read_table`, after the row of `keys` of each.

    Files with the same columns are read as one: several times as fast for thousands of files.
    """
    import pandas as pd

    texts = (_table_path(profile, "transfer", name, which).read_bytes().partition(b"\n") for name in names)
    parts, n_rows = [], []
    for head, alike in itertools.groupby(texts, key=lambda text: text[0]):
        bodies = [body.rstrip(b"\n") + b"\n" for _, _, body in alike]
        counts = [body.count(b"\n") for body in bodies]
        parts.append(read_table(io.BytesIO(b"\n".join([head, b"".join(bodies)]))))
        if len(parts[-1]) != sum(counts):  # a text of several lines, or a table without rows
            tables = [read_table(io.BytesIO(b"\n".join([head, body]))) for body in bodies]
            parts[-1], counts = pd.concat(tables, ignore_index=True), [len(one) for one in tables]
        n_rows += counts
    of_rows = keys.loc[keys.index.repeat(n_rows)].reset_index(drop=True)
    return pd.concat([of_rows, pd.concat(parts, ignore_index=True)], axis=1)


def chosen_curves(history: pd.DataFrame, rates: pd.DataFrame) -> pd.DataFrame:
    """Return the learning curves of the chosen rates; the columns that both tables share tell the trainings apart."""
    chosen = rates[rates["chosen"].astype(bool)].drop(columns=["validation_loss", "chosen"])
    return history.merge(chosen, on=list(chosen.columns))


def run_ids(profile: str) -> dict[tuple[str, str], str]:
    """Return the id of every finished base run of transfer, by source and target."""
    return {(source, target): facts(profile, f"transfer/{name}").run_id for name, source, target in transfers(profile)}


def of_similarities(profile: str, order: Sequence[str] = (), which: str = "similarity") -> pd.DataFrame:
    """Concatenate one table of all finished similarity runs; targets sorted as in `transfers`."""
    import pandas as pd

    names = sorted(finished(profile, "similarity") or _none_finished(profile, "similarity"), key=_place(order))
    return pd.concat([table(profile, "similarity", name, which) for name in names], ignore_index=True)


def load(profile: str) -> dict[str, pd.DataFrame]:
    """Return all tidy tables of a profile by name: those over all runs, and `history` and `predictions` of the base runs.

    `predictions` has a score column for the classes of all targets; those of other targets are NaN.
    """
    tables = {path.stem: read_table(path) for path in sorted(paths.tables_dir(profile).glob("*.csv"))}
    return tables | {which: of_transfers(profile, which) for which in ("history", "predictions")}


def evidence() -> pd.DataFrame:
    """Return all published outcomes in `evidence/` as one table; column study is the file (checked: `evidence.studies`)."""
    import pandas as pd

    tables = {path.stem: pd.read_csv(path) for path in sorted((paths.root() / "evidence").glob("*.csv"))}
    return pd.concat(tables, names=["study", None]).reset_index("study").reset_index(drop=True)


def _none_finished(profile: str, step: str) -> NoReturn:
    raise InputError(f"Profile {profile} has no finished {step} run. Run the sweep: {SWEEP} {profile}")


def _place(order: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """Return a sort key: the place in `order`; other names follow, by name."""
    places = {name: place for place, name in enumerate(order)}
    return lambda name: (places.get(name, len(places)), name)
