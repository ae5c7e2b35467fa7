"""What goes into a crate: the project as it lies in its folder, without names of this machine's folders and without secrets.

A crate has the layout of the project's folder, so an unzipped one is a project of its own; the built book lies in ``html/``.
"""

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from catscans_lib import paths, results
from catscans_lib.datasets import own
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.runs import recipe
from catscans_lib.runs.records.masking import TEXT as MASKED_TEXT
from catscans_lib.runs.records.masking import Mask
from catscans_lib.sharing.osf import manifest

PROJECT = (
    "CHANGELOG.md", "CITATION.cff", "LICENSE", "Makefile", "README.md", "Snakefile", "_config.yml", "_toc.yml",
    "environment.yml", "pyproject.toml", "requirements.lock",
)  # fmt: skip
CHAPTERS = ("notebooks/*.ipynb", "book/*.md", "book/*.bib", "book/_static/*", "params/cluster/*/*.yaml")
HTML = "html"
CARDS = "cards"
TEXT = {*MASKED_TEXT, ".js", ".jsonld"}
AS_IT_IS = ("catscans_lib/", "notebooks/", "book/", "params/cluster/")  # what git holds
RESULT_KINDS = {".csv", ".ipynb", ".json", ".jsonld", ".keras", ".md", ".png", ".py", ".svg", ".txt"}
FOLDERS = {paths.REFERENCE: "REFERENCE", "CATSCANS_DATA": "DATA", "CATSCANS_WEIGHTS": "WEIGHTS"}
BLOCK_BYTES = 2**20

Clean = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Member:
    """One file of a crate: its place in it, and its content, or the file that holds it."""

    name: str
    source: bytes | Path
    clean: Clean

    def blocks(self) -> Iterator[bytes]:
        """Give the content as it goes into the crate, piece by piece."""
        if isinstance(self.source, bytes):
            yield self.source
        elif self.source.suffix in TEXT and not self.name.startswith(AS_IT_IS):
            yield self.clean(self.source.read_bytes())
        else:
            with self.source.open("rb") as file:
                while block := file.read(BLOCK_BYTES):
                    yield block

    @cached_property
    def facts(self) -> tuple[int, str]:
        """Number of bytes and SHA-256."""
        n_bytes, digest = 0, hashlib.sha256()
        for block in self.blocks():
            n_bytes += len(block)
            digest.update(block)
        return n_bytes, digest.hexdigest()


def members(profile: str, *, book: bool, models: bool, data: bool) -> dict[str, Path]:
    """Return the files of a profile that go into a crate, by their places in it.

    Parameters
    ----------
    book, models, data : bool
        Whether the built book (where there is one), the networks and the image stores go with them.

    Raises
    ------
    InputError
        If a file of the project or an image store is missing, the book is older than a result, or a result is of a kind
        that an import would refuse.
    """
    found = _project() | _params(profile) | _results(profile)
    if not models:
        found = {name: path for name, path in found.items() if path.suffix != ".keras"}
    if data:
        found |= _stores(profile)
    if book:
        found |= _book(profile)
    return found


def cleaner() -> Clean:
    """Return what takes secrets and the names of this machine's folders out of a text.

    The project's folder becomes ``.``, as it does in the book; then those it was given (DATA, WEIGHTS, REFERENCE), that of
    the installed packages and the user's own.
    """
    mask, root = Mask.of_environment(), str(paths.root())
    named = {os.environ.get(variable, ""): name for variable, name in FOLDERS.items()}
    named |= {sys.prefix: ".venv", str(Path.home()): "~"}
    named = {folder: name for folder, name in named.items() if len(Path(folder).parts) > 1}
    longest_first = sorted(named.items(), key=lambda pair: -len(pair[0]))
    ours = [(root, "."), (str(paths.root().resolve()), ".")]
    rules = [(re.compile(rf"{re.escape(folder)}(?![\w.-])"), name) for folder, name in [*ours, *longest_first]]

    def clean(content: bytes) -> bytes:
        text = mask(content.decode("utf-8", "surrogateescape")).replace(f"{root}/", "")
        for pattern, name in rules:
            text = pattern.sub(name, text)
        return text.encode("utf-8", "surrogateescape")

    return clean


def is_restored(name: str, profile: str) -> bool:
    """Return whether an import puts a member in its place: results, settings and images; never code, nor the built book."""
    places = (f"results/{profile}/", f"data/{profile}/", "params/datasets/")
    return name == f"params/{profile}.yaml" or name.startswith(places)


def refuse_kinds(names: list[str]) -> None:
    """Raise InputError unless all results among the names of members are of a kind that is read as data."""
    wrong = [name for name in names if name.startswith("results/") and Path(name).suffix not in RESULT_KINDS]
    if wrong:
        raise InputError(
            f"{some(wrong)}: a crate holds results as {', '.join(sorted(RESULT_KINDS))}; other kinds could run code "
            "when they are read. Move them out of the results."
        )


def some(names: list[str], n: int = 5) -> str:
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def _project() -> dict[str, Path]:
    root, library = paths.root(), Path(__file__).parents[2]
    found = {name: root / name for name in PROJECT}
    if missing := [name for name, path in found.items() if not path.is_file()]:
        raise InputError(f"{root} has no {', '.join(missing)}, which belongs into a crate. Restore it from git.")
    found |= {f"{library.name}/{path.relative_to(library).as_posix()}": path for path in library.rglob("*.py")}
    chapters = [path for pattern in CHAPTERS for path in root.glob(pattern)]
    return found | {path.relative_to(root).as_posix(): path for path in chapters if path.is_file()}


def _params(profile: str) -> dict[str, Path]:
    used = [name for name in expand.load(profile).datasets if name in own.names()]
    files = [paths.params_path(profile), *(paths.own_cards_dir() / f"{name}.yaml" for name in used)]
    return {path.relative_to(paths.root()).as_posix(): path for path in files}


def _results(profile: str) -> dict[str, Path]:
    """Return all below the results that is finished: no hidden folder of a run under way, nothing made by hand."""
    folder = paths.results_dir(profile)
    below = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    left_out = ("scratch", CARDS, recipe.RECIPES, manifest.NAME)  # made by hand, made anew, or about another copy
    kept = {
        f"results/{profile}/{place.as_posix()}": path
        for place, path in below.items()
        if not any(part.startswith(".") for part in place.parts) and place.parts[0] not in left_out
    }
    refuse_kinds(list(kept))
    return kept


def _stores(profile: str) -> dict[str, Path]:
    sizes = {name: row.size_px for name, row in expand.load(profile).datasets.items()}
    ingested = results.finished(profile, "ingest")
    stores = {name: paths.store_path(profile, name, sizes[name]) for name in ingested if name in sizes}
    if missing := [paths.relative(path) for path in stores.values() if not path.is_file()]:
        raise InputError(f"{some(missing)} is not there. Leave out --with-data, or make it with the sweep.")
    return {f"data/{profile}/{path.name}": path for path in stores.values()}


def _book(profile: str) -> dict[str, Path]:
    html = paths.build_dir(profile) / "_build" / "html"
    index = html / "index.html"
    if not index.is_file():
        return {}
    made = max((path.stat().st_mtime for path in paths.results_dir(profile).glob(f"*/*/{results.RECORD}")), default=0.0)
    if made > index.stat().st_mtime:
        raise InputError(
            f"The book is older than the results it shows. Build it: make book PROFILE={profile}, or pass --no-book."
        )
    files = (path for path in html.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {f"{HTML}/{path.relative_to(html).as_posix()}": path for path in files}
