"""Put the chapters, figures and executed notebooks of one profile together; Jupyter Book makes HTML of them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import yaml

from catscans_lib import book_numbers, interactive, paths
from catscans_lib.errors import InputError

DEMO_NOTE = "DEMO: made-up images, not a medical result"
_HIDDEN = {"parameters": "hide-input", "injected-parameters": "remove-input"}
_FIGURE_STEPS = (
    "evaluate",
    "stability",
    "feature_maps",
    "similarity",
    "transferability",
    "published",
)  # the others' figures are read in their notebooks
_NOISE = re.compile(
    r"\[IPKernelApp\] WARNING|^WARNING: All log messages before absl|^[IWE]\d{4} \d\d:\d\d|: I tensorflow/"
)

numbers = book_numbers.numbers


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
    done = subprocess.run([*command, "-W", "-n", "--keep-going"], capture_output=True, text=True, check=False)
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    log_path = folder / "book.log"
    log_path.write_text(log, encoding="utf-8")
    index = folder / "_build" / "html" / "index.html"
    if done.returncode or not index.exists():
        # Sphinx keeps the pages it has read and would not repeat their warnings: the next build would seem clean.
        shutil.rmtree(folder / "_build", ignore_errors=True)
        warnings = [line for line in log.splitlines() if re.search(r"WARNING|ERROR|Error", line)]
        raise BookError(f"The book of '{profile}' was not built; whole log: {log_path}.\n" + "\n".join(warnings[:20]))
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
    staged = _copies(profile) | _run_pages(context)
    staged |= _chapters(context, staged)
    staged["_toc.yml"] = _toc(staged)
    staged["_config.yml"] = _config(profile)
    folder = paths.build_dir(profile)
    if _sync(folder / "source", staged):
        # Every page shows the table of contents, so a new one means all pages.
        shutil.rmtree(folder / "_build", ignore_errors=True)
    return folder / "source"


def _copies(profile: str) -> dict[str, bytes]:
    """Return figures and tables of the results, bibliography and static files, each under its place in the book."""
    book, results = paths.root() / "book", paths.results_dir(profile)
    figures = [path for step in _FIGURE_STEPS for path in results.glob(f"{step}/[!.]*/figures/*")]
    files = {f"figures/{p.parts[-4]}/{p.parts[-3]}/{p.name}": p for p in figures}
    files |= {f"tables/{p.name}": p for p in results.glob("tables/*.csv")}
    files |= {f"_static/{p.name}": p for p in (book / "_static").glob("*")}
    files["references.bib"] = book / "references.bib"
    return {place: path.read_bytes() for place, path in sorted(files.items())} | {
        interactive.SCRIPT: interactive.script()
    }


def _run_pages(context: dict[str, Any]) -> dict[str, bytes]:
    """Return the executed notebooks as pages, and for every step a page that lists its runs."""
    pages = {}
    for step, runs in context["runs"].items():
        for run in filter(lambda run: run["page"], runs):
            path = paths.run_dir(context["profile"], step, run["name"]) / f"{step}.ipynb"
            is_demo = context["demo"] and step != "published"  # whose numbers are of the real study
            page = run_page(path.read_text(encoding="utf-8"), step, run, demo=is_demo)
            pages[run["page"]] = page.encode()
        if any(run["page"] and run["name"] != "all" for run in runs):
            pages[f"runs/{step}.md"] = _template("_runs.md", {}).render(context, step=step, records=runs).encode()
    return pages


def run_page(notebook: str, step: str, run: dict[str, Any], *, demo: bool) -> str:
    """Turn an executed notebook into a page of the book.

    The page gets the run's own title and record, folds or drops the cells of parameters (the record lists the values
    that were used, the first cell only the defaults), and loses noise and the folder names of this machine.

    Parameters
    ----------
    notebook : str
        Content of the executed ``.ipynb`` file.
    step, run
        Name of the step, and the run's record with ``name``, ``seconds``, ``peak_memory_mb``, ``parameters``.
    demo : bool
        Whether to say on the page that the images are made up.
    """
    root = str(paths.root())
    notebook = re.sub(rf"{re.escape(root)}(?![\w.-])", ".", notebook.replace(f"{root}/", ""))
    content = nbformat.reads(notebook, as_version=4)
    content.metadata.pop("papermill", None)
    for cell in content.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata["tags"] = [*tags, *(_HIDDEN[tag] for tag in tags if tag in _HIDDEN)]
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs if (kept := _without_noise(output))]
    _drop_title(content.cells)
    # The identifier is fixed: a random one would make every assembly look like a change.
    head = _template("_run_head.md", {}).render(title=run_title(step, run["name"]), step=step, run=run, demo=demo)
    content.cells.insert(0, nbformat.v4.new_markdown_cell(head, id="run-head"))
    return nbformat.writes(content)


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
    """Render every chapter of ``book/``; names with a leading underscore are parts of chapters."""
    names = sorted(path.name for path in (paths.root() / "book").glob("[!_]*.md"))
    return {name: _template(name, staged).render(context).encode() for name in names}


def _template(name: str, staged: Iterable[str]) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.root() / "book"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _number, "signed": lambda x, n=3: _number(x, n, "+"), "code": _code}
    environment.filters["clock"] = _clock
    environment.globals |= {"figure": _figure_in(staged), "staged": set(staged), "demo_note": DEMO_NOTE}
    return environment.get_template(name)


def _number(value: float, digits: int = 3, sign: str = "") -> str:
    return "–" if value != value else f"{value:{sign}.{digits}f}"


def _clock(seconds: float) -> str:
    """Return a duration as people say it.

    >>> _clock(7.25), _clock(95), _clock(7300)
    ('7.2 s', '1 min 35 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _code(text: Any) -> str:
    """Return text as inline code that may stand in a table: paths and messages are data, not Markdown."""
    return "`" + re.sub(r"\s+", " ", str(text)).replace("`", "'").replace("|", r"\|") + "`"


def _figure_in(staged: Iterable[str]) -> Callable[[str, str, str, str], str]:
    """Return a function for chapters: the figure with its caption and its numbers, or nothing when it was not made."""

    def figure(step: str, name: str, stem: str, caption: str) -> str:
        place = f"figures/{step}/{name}/{stem}"
        image = next((f"{place}.{kind}" for kind in ("svg", "png") if f"{place}.{kind}" in staged), None)
        if image is None:
            return ""
        download = f" Numbers: {{download}}`{stem}.csv <{place}.csv>`." if f"{place}.csv" in staged else ""
        return f":::{{figure}} {image}\n:alt: {caption}\n\n{caption}{download}\n:::\n"

    return figure


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
