"""Assemble the chapters, figures and executed notebooks of a profile; Jupyter Book makes HTML of them."""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from catscans_lib import paths
from catscans_lib.book import citation, run_pages, tables, templates
from catscans_lib.book.numbers import numbers
from catscans_lib.errors import InputError
from catscans_lib.grid import profiles
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import recipe

SCRIPTS = "extra"  # copied to the top of the book; every page would load what is in _static
DEMO_PART = "The machinery, on a world with known truth"
# Of the theme: icons (1.5 MB on every page, for a dozen that style.css takes from a font), old kinds of fonts, languages.
UNUSED = ("fontawesome.js", "*.map", "*.ttf", "*.[mp]o")
_CHANGES = (  # to the HTML: scripts of another host, of icons, of search (its page has them); what screen readers need
    (re.compile(r"[ \t]*<(?:script|link)\b[^>]*(?:sphinx-thebe\.|>const THEBE_JS_URL|/fontawesome\.js)[^\n]*\n"), ""),
    (re.compile(r' {4}<script src="[^"]*(?:searchtools|language_data|searchindex)\.js"></script>\n'), ""),
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    (re.compile(r"<th></th>"), "<td></td>"),  # an empty heading of a data frame's index
    (re.compile(r'id="pst-primary-sidebar" (?!role)'), r'\g<0>role="complementary" aria-label="Contents and search" '),
    (re.compile(r"<button(?![^>]*\btype=)"), '<button type="button"'),
    (re.compile(r'<button(?![^>]*aria-label=)([^>]*) title="([^"]*)"'), r'<button aria-label="\2"\1 title="\2"'),
    (re.compile(r'(<summary|<button(?=[^>]*search-button-field)[^>]*?) aria-label="[^"]*"'), r"\1"),  # have a text
)
_DOWNLOADS = re.compile(r"_downloads/\w+/[^\"]+\.svg")
_FORMULAS = re.compile(r"[ \t]*<script[^>]*/mathjax\.js[^\n]*\n")  # 2 MB; Sphinx loads it on the front page, too


class BookError(RuntimeError):
    """Jupyter Book warned or failed; the message has its warnings and the path of the complete log."""


def build(profile: str, gaps: dict[str, list[str]] | None = None) -> Path:
    """Assemble the HTML book of a profile, build it if anything has changed; return its front page, which names `gaps`.

    `gaps` are runs of the grid by what they are: "missing" or "outdated".
    InputError if the profile has no results; BookError if Jupyter Book fails or warns, for example of a dead link.
    """
    source = assemble(profile, gaps)
    folder = source.parent
    index, log_path = folder / "_build" / "html" / "index.html", folder / "book.log"
    read = source.rglob("*")  # also the folders, which change when files go
    if index.exists() and log_path.exists() and log_path.stat().st_mtime > max(path.stat().st_mtime for path in read):
        return index
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source), "--path-output", str(folder)]
    command += ["-W", "-n", "--keep-going"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    if done.returncode or not index.exists():
        # Sphinx caches the pages and would not repeat their warnings: the next build would pass.
        shutil.rmtree(folder / "_build", ignore_errors=True)
        log_path.write_text(log, encoding="utf-8")
        warnings = [line for line in log.splitlines() if re.search(r"WARNING|ERROR|Error", line)][:20]
        raise BookError("\n".join([f"The book of '{profile}' was not built. Complete log: {log_path}.", *warnings]))
    # Sphinx copies them only if a page has changed.
    shutil.copytree(source / "_static", index.parent / "_static", dirs_exist_ok=True)
    _finish(index.parent, sorted(path.stem for path in source.glob("*.md")))
    log_path.write_text(log, encoding="utf-8")  # at the end: its time says that the book is complete
    return index


def _finish(html: Path, pages: Iterable[str]) -> None:
    """Apply `_CHANGES` to all pages; remove outputs from downloadable notebooks (pages show them) and `UNUSED` files.

    A script gets the texts of `pages`, from which the search makes its excerpts where the book is opened from the disk.
    Pictures of the run pages get 256 colours; the chapters have them as SVG. Figures that a page shows are not kept twice: links
    to them lead to the picture. A second call changes nothing.
    """
    shown = {path.read_bytes(): path for path in (html / "_images").glob("*.svg")}
    twice = {
        path: shown[content] for path in (html / "_downloads").rglob("*.svg") if (content := path.read_bytes()) in shown
    }
    moved = {path.relative_to(html).as_posix(): to.relative_to(html).as_posix() for path, to in twice.items()}
    for path in html.rglob("*.html"):
        text = changed = path.read_text(encoding="utf-8")
        changed = _DOWNLOADS.sub(lambda found: moved.get(found[0], found[0]), changed)
        for pattern, replacement in _CHANGES if 'class="math' in text else (*_CHANGES, (_FORMULAS, "")):
            changed = pattern.sub(replacement, changed)
        if changed != text:
            path.write_text(changed, encoding="utf-8")
    for path in twice:
        path.unlink()
    texts = {name: _text(html / f"{name}.html") for name in pages}
    script = f"window.TEXTS = {json.dumps(texts, ensure_ascii=False)};\n"
    (html / "scripts" / "texts.js").write_text(script, encoding="utf-8")
    for path in (html / "_sources").rglob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        shown = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
        for cell in shown:
            cell.outputs = []
        if shown:
            nbformat.write(notebook, path)
    for path in (html / "_images").glob("*.png"):
        with suppress(OSError), Image.open(path) as picture:  # a damaged picture of a notebook stays as it is
            if picture.mode in ("RGB", "RGBA"):
                picture.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path)
    for path in [path for pattern in UNUSED for path in (html / "_static").rglob(pattern)]:
        path.unlink()


def _text(page: Path) -> str:
    """Return the words of a page; "" if it is not in the table of contents and so was not built."""
    article = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").article if page.is_file() else None
    for node in article.select(".headerlink, script, style") if article else ():
        node.decompose()
    return " ".join(article.get_text(" ").split()) if article else ""


def assemble(profile: str, gaps: dict[str, list[str]] | None = None) -> Path:
    """Write the files for Jupyter Book to ``_build/<profile>/source``; return that folder. `gaps` as in `build`.

    Writes only files with new content; the next build reads only these. InputError if the profile has no finished run.
    """
    context = numbers(profile)
    if not context["runs"]:
        raise InputError(
            f"Profile '{profile}' has no results in {paths.results_dir(profile)}. "
            f"Run `catscans sweep --profile {profile}` first."
        )
    context |= {"gaps": gaps or {}, "built": datetime.now(UTC), "commit": recipe.commit(), "demo_part": DEMO_PART}
    context["cited"] = citation.cited(context["commit"], context["built"])
    context["dictionary"] = tables.of_profile(profile)
    is_packed = any(not table.is_large for table in context["dictionary"])
    staged = {"files/tables.zip": tables.packed(profile, context["cited"])} if is_packed else {}
    staged |= _copies(profile) | run_pages.pages(context) | run_pages.records(profile, context["runs"])
    staged |= _chapters(context, staged)
    staged["_toc.yml"] = _toc(staged, context["demo"])
    staged["_config.yml"] = _config(profile)
    data = json.dumps(context["cited"], ensure_ascii=False)  # as a script: a page opened from the disk cannot load JSON
    staged["_static/cite-data.js"] = f"const CITED = {data};\n".encode()
    folder = paths.build_dir(profile)
    if _sync(folder / "source", staged):
        # Every page shows the table of contents, so a new one changes all pages.
        shutil.rmtree(folder / "_build", ignore_errors=True)
    return folder / "source"


def _copies(profile: str) -> dict[str, bytes]:
    """Return figures and tables of the results, bibliography, scripts and static files by their places in the book."""
    book, results = paths.root() / "book", paths.results_dir(profile)
    shown = [step.name for step in STEPS.values() if step.has_figures]
    figures = [path for step in shown for path in results.glob(f"{step}/[!.]*/figures/*")]
    files = {f"figures/{p.parts[-4]}/{p.parts[-3]}/{p.name}": p for p in figures}
    files |= {f"tables/{p.name}": p for p in results.glob("tables/*.csv")}
    files |= {f"_static/{p.name}": p for p in (book / "_static").glob("*")}
    files |= {f"notebooks/{p.name}": p for p in (paths.root() / "notebooks").glob("*.ipynb")}
    package = metadata.distribution("sphinx-mathjax-offline")  # MathJax as one script without fonts
    mathjax = Path(str(package.locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg.js")))
    files |= {"references.bib": book / "references.bib", f"{SCRIPTS}/scripts/mathjax.js": mathjax}
    return {place: path.read_bytes() for place, path in sorted(files.items())}


def _chapters(context: dict[str, Any], staged: Iterable[str]) -> dict[str, bytes]:
    """Render every chapter of `book/` and a page per dataset; names with a leading underscore are parts of chapters."""
    names = {path.name for path in (paths.root() / "book").glob("[!_]*.md")}
    chapters = {name: templates.rendered(name, staged, **context).encode() for name in sorted(names)}
    cards = {d["name"]: templates.rendered("_dataset.md", staged, **context, d=d) for d in context["datasets"]}
    return chapters | {f"datasets/{name}.md": card.encode() for name, card in cards.items()}


def _toc(staged: Iterable[str], demo: bool) -> bytes:
    """Return the table of contents without chapters that this profile has no results for."""
    toc = yaml.safe_load((paths.root() / "_toc.yml").read_text(encoding="utf-8"))
    pages = [name.rpartition(".")[0] for name in staged if name.endswith((".md", ".ipynb"))]
    for part in toc["parts"]:
        part["caption"] = DEMO_PART if demo and part["caption"] == "The study" else part["caption"]
        part["chapters"] = [one for one in part["chapters"] if fnmatch.filter(pages, one.get("file") or one["glob"])]
        for chapter in part["chapters"]:
            if not all(fnmatch.filter(pages, one["glob"]) for one in chapter.get("sections", ())):
                del chapter["sections"]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    return yaml.safe_dump(toc, sort_keys=False).encode()


def _config(profile: str) -> bytes:
    config = yaml.safe_load((paths.root() / "_config.yml").read_text(encoding="utf-8"))
    if profiles.is_demo(profile):
        config["title"] += " (DEMO)"
        config["html"]["announcement"] = f"{templates.DEMO_NOTE}. The part Evidence shows real, published results."
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode()


def _sync(folder: Path, staged: dict[str, bytes]) -> bool:
    """Make the folder hold exactly these files; return whether pages were added or removed, or the settings changed."""
    before = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    changed = [name for name in staged if name not in before or (folder / name).read_bytes() != staged[name]]
    for name in before - set(staged):
        (folder / name).unlink()
    for name in changed:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(staged[name])
    pages = {name for name in before ^ set(staged) if name.endswith((".md", ".ipynb"))}
    return bool(pages | ({"_toc.yml", "_config.yml"} & set(changed)))
