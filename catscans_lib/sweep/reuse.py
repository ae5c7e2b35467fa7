"""Shares finished runs between profiles: a run that another profile has made from the same recipe is copied, not repeated."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from catscans_lib import paths, results
from catscans_lib.runs import recipe
from catscans_lib.runs.execute import MARK
from catscans_lib.runs.records import reading
from catscans_lib.sweep.selection import Runs

LARGE = (".keras", ".h5")


def found(profile: str, runs: Runs) -> dict[str, str]:
    """Return the runs that are not up to date in a profile, but in another one: their keys, and that other profile."""
    mine, shared = set(recipe.current(profile, runs)), {}
    folders = sorted(paths.results_dir(profile).parent.glob("[!.]*/")) if len(mine) < len(runs) else []
    for other in (folder.name for folder in folders if folder.name != profile):
        for key in recipe.current(other, runs):
            if key not in mine | shared.keys() and all(
                shared.get(need) == other or (need in mine and _id(profile, need) == _id(other, need))
                for need in runs[key].needs
            ):
                shared[key] = other
    return shared


def _id(profile: str, key: str) -> str:
    return results.facts(profile, key).run_id


def take(profile: str, runs: Runs, shared: dict[str, str]) -> None:
    """Give a profile the runs `shared` (see `found`) with their folds, images and records."""
    records = {
        other: {record["run_id"]: paths.records_dir(other) / record["number"] for record in reading.load(other)}
        for other in set(shared.values())
    }
    for key, other in shared.items():
        run = runs[key]
        work = results.new_work_dir(profile, run.step, run.name)
        _copy_folder(paths.run_dir(other, run.step, run.name), work)
        if run.step == "ingest":
            name, size_px = run.settings.dataset, run.settings.size_px
            _copy_file(paths.folds_path(other, name), paths.folds_path(profile, name))
            _copy_file(paths.store_path(other, name, size_px), paths.store_path(profile, name, size_px))
        if record := records[other].get(_id(other, key)):
            place = paths.records_dir(profile) / record.name
            if not place.exists():
                _copy_folder(record, place)
        results.publish(profile, run.step, run.name)
    for other in records:
        _copy_folder(paths.records_dir(other) / "_sources", paths.records_dir(profile) / "_sources")


def _copy_folder(folder: Path, place: Path) -> None:
    if folder.is_dir():
        shutil.copytree(
            folder, place, copy_function=_copy_file, ignore=shutil.ignore_patterns(MARK), dirs_exist_ok=True
        )


def _copy_file(path: Path | str, place: Path | str) -> None:
    """Copy a file, if it exists; link networks and images, which are large, and which nobody edits in place."""
    if not Path(path).is_file():
        return
    with paths.atomic_write(Path(place)) as part:
        if Path(path).suffix in LARGE:
            with suppress(OSError):  # a file system without links, or another one
                os.link(path, part)
        if not part.exists():
            shutil.copy2(path, part)
