"""Put the chapters, figures and executed notebooks of one profile together; Jupyter Book makes HTML of them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import yaml

from catscans_lib import paths
from catscans_lib.book import architecture, html_pages, interactive, run_records, templates
from catscans_lib.book.numbers import numbers
from catscans_lib.book.templates import DEMO_NOTE
from catscans_lib.errors import InputError
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import recipe

SCRIPTS = "extra"  # its content goes to the book's top: what lies in _static would be loaded by every page
_HIDDEN = {"parameters": "hide-input", "injected-parameters": "remove-input"}
_NOISE = re.compile(
    r"\[IPKernelApp\] WARNING|^WARNING: All log messages before absl|^[IWE]\d{4} \d\d:\d\d|: I tensorflow/"
)


class BookError(RuntimeError):
    """Jupyter Book warned or failed; the message holds its warnings and where the whole log is."""


def build(profile: str) -> Path:
    """Assemble and build the HTML book of a profile; return the path of its front page.

    Raises
    ------
    InputError
        If the profile has no results yet.
    BookError
        If Jupyter Book gives a warning or fails: a book with a dead link or an unknown citation is not finished.
    """
    source = assemble(profile)
    folder = source.parent
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source), "--path-output", str(folder)]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}  # the library reference imports TensorFlow
    command += ["-W", "-n", "--keep-going"]
    done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    log_path = folder / "book.log"
    log_path.write_text(log, encoding="utf-8")
    index = folder / "_build" / "html" / "index.html"
    if done.returncode or not index.exists():
        # Sphinx keeps the pages it has read and would not repeat their warnings: the next build would seem clean.
        shutil.rmtree(folder / "_build", ignore_errors=True)
        warnings = [line for line in log.splitlines() if re.search(r"WARNING|ERROR|Error", line)]
        raise BookError(f"The book of '{profile}' was not built; whole log: {log_path}.\n" + "\n".join(warnings[:20]))
    html_pages.finish(index.parent)
    return index


def assemble(profile: str) -> Path:
    """Write everything Jupyter Book needs to ``_build/<profile>/source``; return that folder.

    A file is written only when its content changed, so that the next build reads again only those.

    Raises
    ------
    InputError
        If the profile has no finished run.
    """
    context = numbers(profile)
    if not context["runs"]:
        raise InputError(
            f"No results of profile '{profile}' in {paths.results_dir(profile)}. "
            f"Run `catscans sweep --profile {profile}` first."
        )
    context |= architecture.context() | {
        "built": datetime.now(UTC),
        "commit": recipe.commit(),
        "repository": _repository(),
    }
    staged = _copies(profile) | _run_pages(context) | run_records.files(profile, context["runs"])
    staged |= _chapters(context, staged) | architecture.pages(profile)
    staged["_toc.yml"] = _toc(staged)
    staged["_config.yml"] = _config(profile)
    folder = paths.build_dir(profile)
    if _sync(folder / "source", staged):
        # Every page shows the table of contents, so a new one means all pages.
        shutil.rmtree(folder / "_build", ignore_errors=True)
    return folder / "source"


def _repository() -> str:
    """Return owner and name of the project's repository on GitHub, as CITATION.cff has it; "" where it says none."""
    path = paths.root() / "CITATION.cff"
    address = yaml.safe_load(path.read_text(encoding="utf-8")).get("repository-code", "") if path.is_file() else ""
    return address.partition("github.com/")[2].strip("/")


def _copies(profile: str) -> dict[str, bytes]:
    """Return figures and tables of the results, bibliography and static files, each under its place in the book."""
    book, results = paths.root() / "book", paths.results_dir(profile)
    shown = [step.name for step in STEPS.values() if step.has_figures]
    figures = [path for step in shown for path in results.glob(f"{step}/[!.]*/figures/*")]
    files = {f"figures/{p.parts[-4]}/{p.parts[-3]}/{p.name}": p for p in figures}
    files |= {f"tables/{p.name}": p for p in results.glob("tables/*.csv")}
    files |= {f"_static/{p.name}": p for p in (book / "_static").glob("*")}
    files |= {f"notebooks/{p.name}": p for p in (paths.root() / "notebooks").glob("*.ipynb")}
    files |= {"references.bib": book / "references.bib", f"{SCRIPTS}/scripts/mathjax.js": _mathjax()}
    return {place: path.read_bytes() for place, path in sorted(files.items())} | {
        f"{SCRIPTS}/{interactive.SCRIPT}": interactive.script()
    }


def _mathjax() -> Path:
    """Return MathJax as one file that needs no fonts, from the package that holds it."""
    package = metadata.distribution("sphinx-mathjax-offline")
    return Path(str(package.locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg.js")))


def _run_pages(context: dict[str, Any]) -> dict[str, bytes]:
    """Return the executed notebooks as pages, and for every step a page that lists its runs."""
    pages = {}
    for step, runs in context["runs"].items():
        for run in filter(lambda run: run["page"], runs):
            path = paths.run_dir(context["profile"], step, run["name"]) / f"{step}.ipynb"
            is_demo = context["demo"] and step != "published"  # whose numbers are of the real study
            page = run_page(path.read_text(encoding="utf-8"), step, run, profile=context["profile"], demo=is_demo)
            pages[run["page"]] = page.encode()
        if any(run["page"] and run["name"] != "all" for run in runs):
            pages[f"runs/{step}.md"] = (
                templates.template("_runs.md", {}).render(context, step=step, records=runs).encode()
            )
    return pages


def run_page(notebook: str, step: str, run: dict[str, Any], *, profile: str, demo: bool) -> str:
    """Turn an executed notebook into a page of the book.

    The page gets the run's own title and record, folds or drops the cells of parameters (the record lists the values
    that were used, the first cell only the defaults), and loses noise and the folder names of this machine.

    Parameters
    ----------
    notebook : str
        Content of the executed ``.ipynb`` file.
    step, run
        Name of the step, and the run's ``run.json`` with ``name``, ``seconds``, ``peak_memory_mb``, ``parameters``.
    profile : str
        Whose records hold that of the run.
    demo : bool
        Whether to say on the page that the images are made up.
    """
    root = str(paths.root())
    notebook = re.sub(rf"{re.escape(root)}(?![\w.-])", ".", notebook.replace(f"{root}/", ""))
    content = nbformat.reads(notebook, as_version=4)
    content.metadata.pop("papermill", None)
    question = run_title(step, run["name"])
    for cell in content.cells:
        question = _question(cell) or question
        cell.metadata["mystnb"] = {"image": {"alt": f"Figure: {question}"}}
        tags = cell.metadata.get("tags", [])
        cell.metadata["tags"] = [*tags, *(_HIDDEN[tag] for tag in tags if tag in _HIDDEN)]
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs if (kept := _without_noise(output))]
    _drop_title(content.cells)
    # The identifier is fixed: a random one would make every assembly look like a change.
    head = templates.template("_run_head.md", {}).render(
        title=run_title(step, run["name"]), run=run, profile=profile, demo=demo,
        record=run_records.rows(run), place=run_records.place(step, run["name"]),
    )  # fmt: skip
    content.cells.insert(0, nbformat.v4.new_markdown_cell(head, id="run-head"))
    return nbformat.writes(content)


def _question(cell: Any) -> str:
    """Return the heading of a cell of text, which is what the figures below it answer; "" where there is none."""
    headings = re.findall(r"^#+ (.+)$", cell.source, flags=re.M) if cell.cell_type == "markdown" else []
    return templates.plain(headings[-1]) if headings else ""


def run_title(step: str, name: str) -> str:
    """Return the title of a run's page.

    >>> run_title("transfer", "dtd--chest"), run_title("evaluate", "all")
    ('Transfer: dtd → chest', 'Evaluate')
    """
    words = step.replace("_", " ").capitalize()
    return words if name == "all" else f"{words}: {name.replace('--', ' → ')}"


def _drop_title(cells: list[Any]) -> None:
    """Take the notebook's own first-level title away: every run of a step would have the same."""
    for cell in cells:
        if cell.cell_type == "markdown" and re.match(r"# ", cell.source):
            cell.source = cell.source.partition("\n")[2].lstrip("\n")
            return


def _without_noise(output: Any) -> Any | None:
    """Return an output without log lines of the kernel and of TensorFlow's start, or None when nothing is left."""
    if output.get("name") != "stderr":
        return output
    output.text = "".join(line for line in output.text.splitlines(keepends=True) if not _NOISE.search(line))
    return output if output.text.strip() else None


def _chapters(context: dict[str, Any], staged: Iterable[str]) -> dict[str, bytes]:
    """Render every chapter of `book/`, and a page for every dataset; names with a leading underscore are parts of chapters."""
    names = sorted(path.name for path in (paths.root() / "book").glob("[!_]*.md") if path.name != "library.md")
    made = {name: templates.template(name, staged).render(context).encode() for name in names}
    card = templates.template("_dataset.md", staged)
    return made | {f"datasets/{d['name']}.md": card.render(context, d=d).encode() for d in context["datasets"]}


def _toc(staged: Iterable[str]) -> bytes:
    """Return the table of contents without the chapters that this profile has no results for."""
    toc = yaml.safe_load((paths.root() / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        part["chapters"] = [chapter for chapter in part["chapters"] if _is_staged(chapter, staged)]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    return yaml.safe_dump(toc, sort_keys=False).encode()


def _is_staged(chapter: dict[str, Any], staged: Iterable[str]) -> bool:
    pattern = chapter.get("file") or chapter["glob"]
    return any(fnmatch(name, f"{pattern}.{ending}") for name in staged for ending in ("md", "ipynb"))


def _config(profile: str) -> bytes:
    config = yaml.safe_load((paths.root() / "_config.yml").read_text(encoding="utf-8"))
    if profile == "demo":
        config["title"] += " (DEMO)"
        config["html"]["announcement"] = DEMO_NOTE
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode()


def _sync(folder: Path, staged: dict[str, bytes]) -> bool:
    """Make the folder hold exactly these files; return whether pages came or went, or the settings changed."""
    before = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    changed = [name for name in staged if name not in before or (folder / name).read_bytes() != staged[name]]
    for name in before - set(staged):
        (folder / name).unlink()
    for name in changed:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(staged[name])
    pages = {name for name in before ^ set(staged) if name.endswith((".md", ".ipynb"))}
    return bool(pages | ({"_toc.yml", "_config.yml"} & set(changed)))
