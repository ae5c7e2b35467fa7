"""A folder of results on this machine: which files are results, their checksums, the runs they are of."""

import hashlib
import json
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from catscans_lib import results
from catscans_lib.errors import InputError
from catscans_lib.sharing.osf import manifest

NOT_RESULTS = ("scratch", "records")  # what was tried by hand; Sacred's notes on this very machine
BLOCK_BYTES = 2**20
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same files give the same zip


@dataclass(frozen=True)
class Folder:
    """A folder's results: each file's checksum by its path, and the id of every finished run by its folder."""

    root: Path
    checksums: dict[str, str]
    sizes: dict[str, int]
    run_ids: dict[str, str]

    @classmethod
    def read(cls, root: Path) -> "Folder":
        """Look at every file."""
        paths = {path.relative_to(root).as_posix(): path for path in _results(root)}
        sizes = {name: path.stat().st_size for name, path in paths.items()}
        checksums = {name: sha256(path) for name, path in paths.items()}
        run_ids = {name.rpartition("/")[0]: _run_id(path) for name, path in paths.items() if _is_record(name)}
        return cls(root, checksums, sizes, {folder: run_id for folder, run_id in run_ids.items() if run_id})

    def entries(self, *, packed: bool) -> dict[str, manifest.Entry]:
        """Return what is to be on OSF; `packed`: a zip for each run, its checksum open until it is made, its size that inside."""
        found = {}
        for path, checksum in self.checksums.items():
            unit = manifest.unit_of(path)
            if not packed or unit not in self.run_ids:
                run_id = self.run_ids.get(unit, "")
                found[path] = manifest.Entry(path, checksum, self.sizes[path], run_id)
        for unit, run_id in self.run_ids.items() if packed else ():
            n_bytes = sum(self.sizes[f"{unit}/{path}"] for path in self.inside(unit))
            found[f"{unit}.zip"] = manifest.Entry(f"{unit}.zip", "", n_bytes, run_id, self.contents(unit))
        return found

    def contents(self, unit: str) -> str:
        """Return what stands for all files of a run's folder; "" where there is none."""
        inside = self.inside(unit)
        return manifest.contents(inside) if inside else ""

    def inside(self, unit: str) -> dict[str, str]:
        """Return the checksums of a run's files by their paths in its folder."""
        return {
            path.removeprefix(f"{unit}/"): each for path, each in self.checksums.items() if path.startswith(f"{unit}/")
        }

    def state(self, entry: manifest.Entry) -> str:
        """Return what is here in a row's place, to compare with `entry.state`; "" if nothing is."""
        return self.contents(entry.place) if entry.contents else self.checksums.get(entry.path, "")

    def pack(self, unit: str, place: Path) -> None:
        """Pack a run's folder, the same files always in the same way."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(place, "w") as archive:
            for path in sorted(self.inside(unit)):
                member = zipfile.ZipInfo(path, ZIP_DATE)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = 0o644 << 16
                source = self.root / unit / path
                with source.open("rb") as content, archive.open(member, "w", force_zip64=True) as packed:
                    while block := content.read(BLOCK_BYTES):
                        packed.write(block)


def _results(root: Path) -> Iterator[Path]:
    """Files that are results; hidden ones are work under way, and links lead elsewhere."""
    for folder, names, files in os.walk(root):
        is_root = Path(folder) == root
        names[:] = sorted(name for name in names if not (manifest.is_hidden(name) or (is_root and name in NOT_RESULTS)))
        for name in sorted(files):
            path = Path(folder, name)
            if manifest.is_hidden(name) or path.is_symlink() or (is_root and name == manifest.NAME):
                continue
            if not all(map(manifest.is_safe, path.relative_to(root).parts)):
                raise InputError(f"{str(path)!r} cannot have this name on every system. Rename or remove it.")
            yield path


def _is_record(path: str) -> bool:
    return path.endswith(f"/{results.RECORD}") and path.count("/") == 2


def _run_id(record: Path) -> str:
    """The id of a run that is done."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        return str(known["run_id"]) if known.get("status") == "completed" else ""
    except (ValueError, KeyError, AttributeError):
        return ""


def sha256(path: Path) -> str:
    """Return a file's checksum."""
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            found.update(block)
    return found.hexdigest()


def by_unit(entries: dict[str, manifest.Entry]) -> dict[str, list[manifest.Entry]]:
    """Return rows grouped by what belongs together."""
    groups: dict[str, list[manifest.Entry]] = defaultdict(list)
    for entry in entries.values():
        groups[entry.unit].append(entry)
    return dict(groups)
