"""Imports a crate, which may come from anybody: moves its results and settings into this project, or changes nothing."""

import json
import re
import shutil
import zipfile
from pathlib import Path
from urllib.parse import unquote

from catscans_lib import paths, results
from catscans_lib.errors import InputError, and_more
from catscans_lib.networks import weight_files
from catscans_lib.sharing import archives
from catscans_lib.sharing.crate import export, metadata

MAX_RATIO = 20  # of unpacked to packed bytes; below the bounds any ratio is allowed
MIN_BOUND = 2**30  # bytes of a crate
MIN_NETWORK_BOUND = 2**26  # bytes of one network, which Keras saves without compression
MAX_METADATA_BYTES = 2**28
PROFILE = re.compile(r"params/([A-Za-z0-9][A-Za-z0-9_.+-]*)\.yaml")
CARD = re.compile(r"params/datasets/[a-z][a-z0-9_]*\.yaml")

Listed = dict[str, tuple[int, str]]  # place of a file -> number of bytes and SHA-256


def restore(archive: Path) -> tuple[str, list[str], list[str]]:
    """Move the results and settings of a crate into this project; never code, chapters, images or the book.

    Files that are here already with the same content are skipped, so a second import completes an interrupted one. Runs made by
    other code are out of date here. Raises InputError, and changes nothing, if the archive is damaged or unsafe (see
    `archives.unpack`), differs from its list of files, holds something that could run code, lead out of the project or fill the
    disk, or would replace results or settings. Returns the profile, the results and settings in the crate, and those new here.
    """
    if not archive.is_file():
        raise InputError(f"No archive '{archive}'. Give a crate that `catscans export` wrote.")
    folder = paths.root() / "results" / f".{archive.name}.import"
    shutil.rmtree(folder, ignore_errors=True)  # of an import that was killed
    folder.mkdir(parents=True)
    try:
        listed = _unpack(archive, folder)
        found = [match[1] for match in map(PROFILE.fullmatch, listed) if match]
        if len(found) != 1:
            raise _refused(archive, f"it has {len(found)} profiles (params/*.yaml), not one")
        profile = found[0]
        ours = re.compile(rf"results/{re.escape(profile)}(?!.*/\.)/.*|params/{re.escape(profile)}\.yaml|{CARD.pattern}")
        wanted = {name: facts for name, facts in listed.items() if ours.fullmatch(name)}  # no hidden results
        export.refuse_kinds(list(wanted))
        new = _new_files(profile, wanted)
        for name in new:
            _refuse_unsafe_content(folder / name, name)
        for name in new:
            with paths.atomic_write(paths.root() / name) as part:
                shutil.move(folder / name, part)  # data/ may be on another disk
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return profile, list(wanted), new


def _unpack(archive: Path, folder: Path) -> Listed:
    """Unpack a crate, check that it holds exactly the files that it lists, and return that list."""
    bound = max(MIN_BOUND, MAX_RATIO * archive.stat().st_size)
    archives.unpack(archive, folder, max_bytes=min(bound, shutil.disk_usage(folder).free))
    listed = _listed(archive, folder)
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    found = {name: export.size_and_sha256(path) for name, path in there.items() if name != metadata.NAME}
    if wrong := sorted(name for name in found.keys() | listed.keys() if found.get(name) != listed.get(name)):
        raise _refused(archive, f"missing, not listed in {metadata.NAME} or other than listed: {and_more(wrong, 5)}")
    return listed


def _listed(archive: Path, folder: Path) -> Listed:
    path = folder / metadata.NAME
    if not path.is_file() or path.stat().st_size > MAX_METADATA_BYTES:
        raise InputError(f"'{archive}' is not an RO-Crate: its {metadata.NAME} is missing or too large.")
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))["@graph"]
        files = [entity for entity in graph if "File" in entity["@type"]]
        return {unquote(file["@id"]): (int(file["contentSize"]), file["sha256"]) for file in files}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{metadata.NAME} does not list its files with contentSize and sha256: {error!r}"
        raise _refused(archive, reason) from None


def _new_files(profile: str, wanted: Listed) -> list[str]:
    """Return the files that are not here yet; each run's record last, because it says that the run is complete."""
    clean = export.cleaner()
    new, other = [], []
    for name, facts in wanted.items():
        place = paths.root() / name
        if not place.exists() and not place.is_symlink():
            new.append(name)
        elif not place.is_file() or export.size_and_sha256(clean(name, place)) != facts:
            other.append(name)
    if other:
        units = dict.fromkeys("/".join(name.split("/")[2:4]) if name.startswith("results/") else name for name in other)
        raise InputError(
            f"{len(other)} files are here already with other content: {and_more(units, 5)}. Nothing was imported. "
            f"Move yours away first (mv results/{profile} results/{profile}-mine; git checkout params)."
        )
    return sorted(new, key=lambda name: (name.endswith(f"/{results.RECORD}"), name))


def _refuse_unsafe_content(path: Path, name: str) -> None:
    """Refuse a network with more than Keras's own layers and numbers."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > max(MIN_NETWORK_BOUND, MAX_RATIO * path.stat().st_size):
                raise InputError(f"{name} would unpack to {unpacked:,} bytes, too many. Nothing was imported.")
            weight_files.read(path)
    except InputError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise InputError(f"{name} is not a network as Keras saves it: {error}. Nothing was imported.") from None


def _refused(archive: Path, reason: str) -> InputError:
    return InputError(f"'{archive}' is refused, nothing was imported: {reason}. Download it again from its publisher.")
