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

from catscans_lib import datasets, paths, results
from catscans_lib.datasets import own
from catscans_lib.errors import InputError, and_more
from catscans_lib.grid import expand, profiles
from catscans_lib.images import store
from catscans_lib.runs import recipe
from catscans_lib.runs.records import masking
from catscans_lib.sharing import archives
from catscans_lib.sharing.crate import croissant, metadata, model_cards

PROJECT = (
    "CHANGELOG.md", "CITATION.cff", "LICENSE", "Makefile", "README.md", "Snakefile", "_config.yml", "_toc.yml",
    "environment.yml", "pyproject.toml", "requirements.lock",
)  # fmt: skip
CHAPTERS = ("notebooks/*.ipynb", "book/*.md", "book/*.bib", "book/_static/*", "params/cluster/*/*.yaml")
FROM_GIT = ("catscans_lib/", "notebooks/", "book/", "params/cluster/")  # holds no secrets and no paths of this machine
TEXT = {*masking.TEXT, ".js", ".jsonld"}
RESULT_KINDS = {".csv", ".ipynb", ".json", ".jsonld", ".keras", ".md", ".png", ".py", ".svg", ".txt"}
CARDS, HTML = "cards", "html"
FOLDERS = {paths.REFERENCE: "REFERENCE", "CATSCANS_DATA": "DATA", "CATSCANS_WEIGHTS": "WEIGHTS"}

Content = bytes | Path


def export(
    profile: str, path: Path, *, book: bool = True, models: bool = True, data: bool = False, partial: bool = False
) -> dict[str, tuple[int, str]]:
    """Write a profile's crate to a zip, which replaces a file of that name; return size and SHA-256 of every file in it.

    `book` (if it has been built), `models` and `data` (the image stores) say what to include. With `partial`, runs may be
    missing or outdated; after an import, `make book` executes them. Raises InputError for such runs otherwise, for a missing
    file of the project or image store, a book older than a result, and a result of a kind that an import would refuse.
    """
    current = _current_runs(profile, partial)
    clean = cleaner()
    found = _project() | _params(profile) | _results(profile, models)
    found |= (_stores(profile) if data else {}) | (_book(profile) if book else {})
    portable = {
        key: recipe.portable(run, profile) for key, run in current.items()
    }  # `recipe` compares these after an import
    found |= _cards(profile, models) | {f"results/{profile}/{recipe.RECIPES}": _json(portable)}
    listed = {}
    with paths.atomic_write(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name in sorted(found):
            content = cleaned(name, found[name], clean)
            listed[name] = size_and_sha256(content)
            archives.add_file(archive, name, content)
        described = metadata.describe(profile, listed)
        text = json.dumps(described, indent=1, sort_keys=True, ensure_ascii=False)
        archives.add_file(archive, metadata.NAME, text.encode())
    return listed


def cleaner() -> Callable[[bytes], bytes]:
    """Return a function that masks secrets in a text and shortens the paths of this machine.

    The project's folder becomes ``.``, as in the book; the folders given as DATA, WEIGHTS and REFERENCE become these words,
    the environment ``.venv``, the home folder ``~``.
    """
    mask, root = masking.Mask.of_environment(), str(paths.root())
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


def cleaned(name: str, content: Content, clean: Callable[[bytes], bytes]) -> Content:
    """Return the content of a file as it goes into a crate; only texts that are not from git are cleaned."""
    if isinstance(content, Path) and content.suffix in TEXT and not name.startswith(FROM_GIT):
        return clean(content.read_bytes())
    return content


def size_and_sha256(content: Content) -> tuple[int, str]:
    """Return the number of bytes and the SHA-256 of bytes or of a file."""
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).hexdigest()
    return content.stat().st_size, paths.sha256(content)


def refuse_kinds(names: list[str]) -> None:
    """Raise InputError unless every result among these files is of a kind that is only ever read as data."""
    wrong = [name for name in names if name.startswith("results/") and Path(name).suffix not in RESULT_KINDS]
    if wrong:
        raise InputError(
            f"{and_more(wrong, 5)}: a crate holds results as {', '.join(sorted(RESULT_KINDS))}; reading other kinds could run "
            "code. Move them out of the results."
        )


def _current_runs(profile: str, partial: bool) -> dict[str, expand.PlannedRun]:
    """The runs that are up to date: all of them, unless `partial`."""
    runs = expand.grid(profile)
    current = recipe.current(profile, runs)
    missing = [key for key in runs if key not in current]
    if not any(results.is_done(profile, key) for key in runs):
        raise InputError(f"Profile '{profile}' has no finished run. Make them: make book PROFILE={profile}")
    if missing and not partial:
        raise InputError(
            f"{len(missing)} of {len(runs)} runs of profile '{profile}' are missing or were made from other settings or code: "
            f"{and_more(missing, 5)}. Run `make book PROFILE={profile}` first, or pass --partial."
        )
    return {key: runs[key] for key in current}


def _project() -> dict[str, Content]:
    root, library = paths.root(), Path(__file__).parents[2]
    found = {name: root / name for name in PROJECT}
    if missing := [name for name, path in found.items() if not path.is_file()]:
        raise InputError(f"{root} has no {', '.join(missing)}; a crate needs these files. Restore them from git.")
    found |= {f"{library.name}/{path.relative_to(library).as_posix()}": path for path in library.rglob("*.py")}
    chapters = [path for pattern in CHAPTERS for path in root.glob(pattern)]
    return found | {path.relative_to(root).as_posix(): path for path in chapters if path.is_file()}


def _params(profile: str) -> dict[str, Content]:
    used = [name for name in profiles.load(profile).datasets if name in own.names()]
    files = [paths.params_path(profile), *(paths.own_cards_dir() / f"{name}.yaml" for name in used)]
    return {path.relative_to(paths.root()).as_posix(): path for path in files}


def _results(profile: str, models: bool) -> dict[str, Content]:
    """All finished results; not the hidden folders of runs under way, nor what is made by hand or made anew."""
    folder = paths.results_dir(profile)
    left_out = ("scratch", CARDS, recipe.RECIPES)
    found = {}
    for path in folder.rglob("*"):
        place = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in place.parts)
        is_wanted = place.parts[0] not in left_out and (models or path.suffix != ".keras")
        if path.is_file() and is_wanted and not is_hidden:
            found[f"results/{profile}/{place.as_posix()}"] = path
    refuse_kinds(list(found))
    return found


def _stores(profile: str) -> dict[str, Content]:
    sizes = {name: row.size_px for name, row in profiles.load(profile).datasets.items()}
    ingested = results.finished(profile, "ingest")
    stores = {name: paths.store_path(profile, name, sizes[name]) for name in ingested if name in sizes}
    if missing := [paths.relative(path) for path in stores.values() if not path.is_file()]:
        raise InputError(
            f"Missing image stores: {and_more(missing, 5)}. Make them with the sweep, or omit --with-data."
        )
    return {f"data/{profile}/{path.name}": path for path in stores.values()}


def _book(profile: str) -> dict[str, Content]:
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


def _cards(profile: str, models: bool) -> dict[str, Content]:
    """The cards of the datasets, each with the table of its images, and of the networks."""
    folder, found = f"results/{profile}/{CARDS}", {}
    is_demo = profiles.load(profile).data == "demo"
    for name in profiles.load(profile).datasets:
        images = _images(profile, name)
        if images is not None:
            found[f"{folder}/datasets/{name}.csv"] = images
        made_up = is_demo and name in datasets.PUBLISHED
        card = croissant.card(datasets.get(name), images, made_up=made_up)
        found[f"{folder}/datasets/{name}.jsonld"] = _json(card)
    if models:
        cards = model_cards.cards(profile)
        found |= {f"{folder}/models/{key.replace('/', '--')}.md": text.encode() for key, text in cards}
    return found


def _images(profile: str, dataset: str) -> bytes | None:
    """The table of a dataset's images, from its store, or from an import, which brings no store."""
    place = paths.store_path(profile, dataset, profiles.load(profile).datasets[dataset].size_px)
    if place.is_file():
        return croissant.images_csv(store.open_store(place).table)
    imported = paths.results_dir(profile) / CARDS / "datasets" / f"{dataset}.csv"
    return imported.read_bytes() if imported.is_file() else None


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
