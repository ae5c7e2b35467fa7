"""Writes a crate: a zip with the layout of the project's folder, without secrets and without paths of this machine.

The same results give the same bytes. An unzipped crate is a project of its own; the built book lies in `html/`.
"""

import hashlib
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from catscans_lib import paths, results
from catscans_lib.datasets import own
from catscans_lib.errors import InputError, and_more
from catscans_lib.grid import expand, profiles
from catscans_lib.images import store
from catscans_lib.runs import recipe
from catscans_lib.runs.records import masking
from catscans_lib.sharing import archives
from catscans_lib.sharing.crate import metadata

PROJECT = (
    "CHANGELOG.md", "CITATION.cff", "LICENSE", "Makefile", "README.md", "Snakefile", "_config.yml", "_toc.yml",
    "environment.yml", "pyproject.toml", "requirements.lock",
)  # fmt: skip
CHAPTERS = (
    "notebooks/*.ipynb", "book/*.md", "book/*.bib", "book/*.y*ml", "book/*.json", "book/*.css", "book/*.py", "book/_static/*",
    "params/cluster/*/*.yaml"
)  # fmt: skip
FROM_GIT = ("catscans_lib/", "notebooks/", "book/", "params/cluster/")  # holds no secrets and no paths of this machine
TEXT = {*masking.TEXT, ".js"}
RESULT_KINDS = {".csv", ".ipynb", ".json", ".keras", ".md", ".png", ".py", ".svg", ".txt"}
CARDS, HTML = "cards", "html"  # folders in a profile's results, and in the crate

Content = bytes | Path


def export(profile: str, path: Path, *, models: bool = True, partial: bool = False) -> dict[str, tuple[int, str]]:
    """Write a profile's crate to a zip, which replaces a file of that name; return size and SHA-256 of every file in it.

    The book is included if it has been built, networks with `models`, images never. With `partial`, runs may be missing or
    outdated. Raises InputError for such runs otherwise, for a missing file of the project, a book older than a result, and a
    result of a kind that an import would refuse.
    """
    _check_runs(profile, partial)
    clean = cleaner()
    found = _project(profile) | _results(profile, models) | _book(profile) | _images(profile)
    listed = {}
    with paths.atomic_write(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name in sorted(found):
            content = clean(name, found[name])
            listed[name] = size_and_sha256(content)
            archives.add_file(archive, name, content)
        described = json.dumps(metadata.describe(profile, listed), indent=1, sort_keys=True, ensure_ascii=False)
        archives.add_file(archive, metadata.NAME, described.encode())
    return listed


def cleaner() -> Callable[[str, Content], Content]:
    """Return a function of a file's name and content that masks secrets in a text and shortens the paths of this machine.

    The project's folder becomes `.`, as in the book; the folders given as DATA and WEIGHTS become these words,
    the environment `.venv`, the home folder `~`. Files of other kinds, from git or made for the crate stay as they are.
    """
    mask, root = masking.Mask.of_environment(), str(paths.root())
    named = {os.environ.get(variable, ""): variable.removeprefix("CATSCANS_") for variable in paths.GIVEN}
    named |= {sys.prefix: ".venv", str(Path.home()): "~"}
    longest_first = sorted((folder for folder in named if len(Path(folder).parts) > 1), key=len, reverse=True)
    replaced = [(root, "."), (str(paths.root().resolve()), "."), *((folder, named[folder]) for folder in longest_first)]
    rules = [(re.compile(rf"{re.escape(folder)}(?![\w.-])"), name) for folder, name in replaced]

    def clean(name: str, content: Content) -> Content:
        if isinstance(content, bytes) or content.suffix not in TEXT or name.startswith(FROM_GIT):
            return content
        text = mask(content.read_bytes().decode("utf-8", "surrogateescape")).replace(f"{root}/", "")
        for pattern, short in rules:
            text = pattern.sub(short, text)
        return text.encode("utf-8", "surrogateescape")

    return clean


def size_and_sha256(content: Content) -> tuple[int, str]:
    """Return the number of bytes and the SHA-256 of bytes or of a file."""
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).hexdigest()
    return content.stat().st_size, paths.sha256(content)


def refuse_kinds(names: list[str]) -> None:
    """Raise InputError unless every result among these files is of a kind that is only ever read as data."""
    if wrong := [name for name in names if name.startswith("results/") and Path(name).suffix not in RESULT_KINDS]:
        raise InputError(
            f"{and_more(wrong, 5)}: a crate holds results as {', '.join(sorted(RESULT_KINDS))}; reading other kinds could run "
            "code. Move them out of the results."
        )


def _check_runs(profile: str, partial: bool) -> None:
    """Raise InputError unless all runs are up to date; with `partial`, unless one is finished."""
    runs = expand.grid(profile)
    current = recipe.current(profile, runs)
    if not any(results.is_done(profile, key) for key in runs):
        raise InputError(f"Profile '{profile}' has no finished run. Make them: make book PROFILE={profile}")
    if (missing := [key for key in runs if key not in current]) and not partial:
        raise InputError(
            f"{len(missing)} of {len(runs)} runs of profile '{profile}' are missing or were made from other settings or code: "
            f"{and_more(missing, 5)}. Run `make book PROFILE={profile}` first, or pass --partial."
        )


def _project(profile: str) -> dict[str, Content]:
    """Code, chapters and settings."""
    root, library = paths.root(), Path(__file__).parents[2]
    found = {name: root / name for name in PROJECT}
    if missing := [name for name, path in found.items() if not path.is_file()]:
        raise InputError(f"{root} has no {', '.join(missing)}; a crate needs these files. Restore them from git.")
    code = [path for path in library.rglob("*") if path.suffix in (".py", ".yaml")]
    found |= {f"{library.name}/{path.relative_to(library).as_posix()}": path for path in code}
    files = [path for pattern in CHAPTERS for path in root.glob(pattern) if path.is_file()]
    own_datasets = [name for name in profiles.load(profile).datasets if name in own.names()]
    files += [paths.params_path(profile), *(paths.own_cards_dir() / f"{name}.yaml" for name in own_datasets)]
    return found | {path.relative_to(root).as_posix(): path for path in files}


def _results(profile: str, models: bool) -> dict[str, Content]:
    """All finished results, without unfinished runs (hidden folders), runs by hand, logs, and what an export makes anew."""
    folder, found = paths.results_dir(profile), {}
    for path in folder.rglob("*"):
        place = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in place.parts)
        is_omitted = (
            place.parts[0] in ("scratch", CARDS) or "logs" in place.parts or (path.suffix == ".keras" and not models)
        )
        if path.is_file() and not is_hidden and not is_omitted:
            found[f"results/{profile}/{place.as_posix()}"] = path
    refuse_kinds(list(found))
    return found


def _book(profile: str) -> dict[str, Content]:
    html = paths.build_dir(profile) / "_build" / "html"
    if not (html / "index.html").is_file():
        return {}
    built = (html / "index.html").stat().st_mtime
    if any(path.stat().st_mtime > built for path in paths.results_dir(profile).glob(f"*/*/{results.RECORD}")):
        raise InputError(
            f"The book is older than the results it shows. Build it: make book PROFILE={profile}, or delete _build/{profile}."
        )
    files = (path for path in html.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {f"{HTML}/{path.relative_to(html).as_posix()}": path for path in files}


def _images(profile: str) -> dict[str, Content]:
    """A table of the images of each dataset; their cards are in the settings and the code."""
    found = {}
    for name, row in profiles.load(profile).datasets.items():
        place, table = paths.store_path(profile, name, row.size_px), f"results/{profile}/{CARDS}/datasets/{name}.csv"
        if place.is_file():
            columns = store.open_store(place).table[["image_id", "label", "group"]]
            found[table] = columns.to_csv(index=False, lineterminator="\n").encode()
        elif (paths.root() / table).is_file():  # from an import, which brings no store
            found[table] = (paths.root() / table).read_bytes()
    return found
