"""Digests of the files that a run reads and no run has made (images as published, weights, published tables), and of results.

The first depends on what the files contain and on their names below the folder that the user names, not on that folder's path.
Hashing a large dataset takes minutes, so digests are cached in `.snakemake/files/` by path, size and times of every file.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from catscans_lib import datasets, paths
from catscans_lib.datasets import own
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.networks import registry

Places = list[tuple[str, Path]]  # files and folders, each with its name below the folder that the user names


def of_run(run: PlannedRun) -> dict[str, str]:
    """Return the digest of each kind of files that a run reads, by its name; "" where they are not on this machine."""
    values, found = run.parameters, {}
    given = {name: Path(os.environ[name]) for name in paths.GIVEN if os.environ.get(name)}
    if values.get("data") == "native":
        found["images"] = _images(values["dataset"], given.get("CATSCANS_DATA"))
    if isinstance(file := values.get("weights"), str) and registry.is_file(file):
        found["weights"] = [(file, folder / file) for name, folder in given.items() if name == "CATSCANS_WEIGHTS"]
    if run.step == "evidence":
        found["evidence"] = [("", paths.root() / "evidence")]
    return {name: _digest(list(_files(places))) for name, places in found.items()}


def of_results(folder: Path) -> str:
    """Return the SHA-256 of the tables and networks in a run's folder; equal results give equal digests.

    The notebook and its figures do not count; of a network only its layers and weights do.
    """
    files = [path for pattern in ("*.csv", "tables/*.csv", "*.keras") for path in sorted(folder.glob(pattern))]
    digest = hashlib.sha256()
    for path in files:
        for part in (path.name.encode(), *(_network(path) if path.suffix == ".keras" else [path.read_bytes()])):
            digest.update(part)
    return digest.hexdigest()


def _network(path: Path) -> Iterator[bytes]:
    """Give the configuration and the weights of a saved network."""
    import h5py

    with zipfile.ZipFile(path) as archive:
        # addresses do not count
        config = json.loads(archive.read("config.json"), object_hook=lambda part: part | {"shared_object_id": 0})
        config["config"]["name"], config["compile_config"] = "", None
        yield json.dumps(config, sort_keys=True).encode()
        with archive.open("model.weights.h5") as stored, h5py.File(stored, "r") as file:
            found: dict[str, h5py.Group | h5py.Dataset] = {}
            file.visititems(found.__setitem__)
            for name, item in sorted(found.items()):
                if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
                    yield f"{name} {item.dtype} {item.shape}".encode()
                    yield item[()].tobytes()


def _images(dataset: str, data_dir: Path | None) -> Places:
    card = datasets.get(dataset)
    if card.is_below_data_dir and data_dir is None:
        return []
    if dataset in own.names():
        return own.places(dataset, data_dir or Path())
    found = {path for pattern in card.files for path in data_dir.glob(pattern)}
    return [(path.relative_to(data_dir).as_posix(), path) for path in sorted(found)]


def _files(places: Places) -> Iterator[tuple[str, Path]]:
    """Give the files among places and in their folders, without hidden ones and pipes; in a fixed order, each folder once.

    Links are followed: one to nothing gives no file, and one to a folder that was given already adds nothing.
    """
    for name, place in places:
        if place.is_file():
            yield name, place
        seen: set[str] = set()
        for folder, below, files in os.walk(place, followlinks=True):
            is_new = (real := os.path.realpath(folder)) not in seen
            seen.add(real)
            below[:] = sorted(one for one in below if is_new and not one.startswith("."))
            found = (Path(folder, file) for file in sorted(files) if is_new and not file.startswith("."))
            inside = Path(folder).relative_to(place).as_posix()
            yield from ((f"{name}/{inside}/{file.name}", file) for file in found if file.is_file())


def _digest(files: Places) -> str:
    """Return a digest of names and contents; "" without files."""
    stats = [path.stat() for _, path in files]
    state = [
        (str(path), one.st_size, one.st_mtime_ns, one.st_ctime_ns) for (_, path), one in zip(files, stats, strict=True)
    ]
    key = hashlib.sha256(json.dumps([[name for name, _ in files], state]).encode()).hexdigest()
    cached = paths.notes_dir() / "files" / f"{key}.txt"
    if not files or (cached.is_file() and cached.stat().st_size):
        return cached.read_text(encoding="utf-8") if files else ""
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(paths.sha256, (path for _, path in files))
        lines = [f"{name}\t{sha256}\n" for (name, _), sha256 in zip(files, hashes, strict=True)]
    found = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    if paths.notes_dir().is_dir():  # a sweep has made it
        with suppress(OSError), paths.atomic_write(cached) as part:  # a read-only project: hashes again next time
            part.write_text(found, encoding="utf-8")
    return found
