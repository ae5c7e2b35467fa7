"""Writes a crate: the same bytes for the same results, every file with its size and SHA-256."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.images import store
from catscans_lib.runs import recipe
from catscans_lib.sharing.crate import contents, croissant, metadata, model_cards
from catscans_lib.sharing.crate.contents import Member

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip knows: when it was written says nothing about what is in it
PACKED = {".keras", ".png", ".h5", ".woff2"}  # compressed already, or mapped from the disk as they are
PLAIN_FILE = 0o100644 << 16


@dataclass(frozen=True)
class Exported:
    """What was written: number of files, their bytes, and those of the archive."""

    n_files: int
    n_bytes: int
    n_packed: int
    has_book: bool


def export(
    profile: str, path: Path, *, book: bool = True, models: bool = True, data: bool = False, partial: bool = False
) -> Exported:
    """Write a profile's crate to a zip; a file of that name is replaced once the new one is whole.

    Parameters
    ----------
    book, models, data : bool
        Whether the built book, the networks and the image stores go with it.
    partial : bool
        Take results that are not complete or not up to date; `make book` will do those runs after an import.

    Raises
    ------
    InputError
        If a run of the grid is missing or not up to date (names them), a file of the project is missing, the book is older
        than the results, or a result is of a kind that an import would refuse.
    """
    current = _up_to_date(profile, partial)
    clean = contents.cleaner()
    found: dict[str, bytes | Path] = contents.members(profile, book=book, models=models, data=data)
    found |= _cards(profile, models) | {f"results/{profile}/{recipe.RECIPES}": _recipes(profile, current)}
    members = [Member(name, source, clean) for name, source in sorted(found.items())]
    described = json.dumps(metadata.describe(profile, members), indent=1, sort_keys=True, ensure_ascii=False)
    members = sorted([*members, Member(metadata.NAME, described.encode(), clean)], key=lambda member: member.name)
    part = path.with_name(f".{path.name}.part")
    try:
        _write(part, members)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    has_book = f"{contents.HTML}/index.html" in found
    return Exported(len(members), sum(member.facts[0] for member in members), path.stat().st_size, has_book)


def _up_to_date(profile: str, partial: bool) -> list[str]:
    """Return the keys of the runs that are up to date: all of them, unless `partial`."""
    runs = expand.grid(profile)
    current = recipe.current(profile, runs)
    missing = [key for key in runs if key not in current]
    if not any(results.is_done(profile, key) for key in runs):
        raise InputError(f"Profile '{profile}' has no finished run. Make them: make book PROFILE={profile}")
    if missing and not partial:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise InputError(
            f"{len(missing)} of {len(runs)} runs of profile '{profile}' are missing or were made from other settings or code: "
            f"{named}. Run `make book PROFILE={profile}` first, or pass --partial."
        )
    return current


def _cards(profile: str, models: bool) -> dict[str, bytes]:
    """Return the cards of the datasets, each with the table of its images, and of the networks."""
    folder = f"results/{profile}/{contents.CARDS}"
    found = {f"{folder}/models/{key.replace('/', '--')}.md": text for key, text in model_cards.cards(profile) if models}
    for name in expand.load(profile).datasets:
        images = _images(profile, name)
        if images is not None:
            found[f"{folder}/datasets/{name}.csv"] = images
        found[f"{folder}/datasets/{name}.jsonld"] = _json(croissant.of_profile(profile, name, images))
    return {place: text.encode() if isinstance(text, str) else text for place, text in found.items()}


def _images(profile: str, dataset: str) -> bytes | None:
    """Return the table of a dataset's images: of its store, or as it came with an import, which brings no store."""
    place = paths.store_path(profile, dataset, expand.load(profile).datasets[dataset].size_px)
    if place.is_file():
        return croissant.images_csv(store.open_store(place).table)
    imported = paths.results_dir(profile) / contents.CARDS / "datasets" / f"{dataset}.csv"
    return imported.read_bytes() if imported.is_file() else None


def _recipes(profile: str, current: list[str]) -> bytes:
    """Return what each run that is up to date was made from, without the folders of this machine: see `provenance.is_current`."""
    runs = expand.grid(profile)
    return _json({key: recipe.portable(runs[key], profile) for key in current}).encode()


def _json(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _write(path: Path, members: list[Member]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            info = zipfile.ZipInfo(member.name, DATE)
            info.create_system, info.external_attr = 3, PLAIN_FILE
            packed = PurePosixPath(member.name).suffix in PACKED
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            info.file_size = member.facts[0]  # decides on the long form for files above 2 GiB
            with archive.open(info, "w") as file:
                for block in member.blocks():
                    file.write(block)
