"""The pages of runs: the executed notebook with its provenance on top, and the run's record as a file to download."""

import json
import re
from typing import Any

import nbformat

from catscans_lib import datasets, paths
from catscans_lib.book import templates
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs.records import reading

_HIDDEN = {"parameters": "hide-input", "injected-parameters": "remove-input"}
_NOISE = re.compile(r"\[IPKernelApp\] WARNING|^WARNING: All log messages before|^[IWE]\d{4} \d\d:\d\d|: I tensorflow/")

LARGE = 150_000  # bytes of an SVG made of pictures, which a run page shows but does not offer again


def pages(context: dict[str, Any]) -> dict[str, bytes]:
    """Return the executed notebooks as pages, and for every step a page that lists its runs."""
    made = {}
    for step, runs in context["runs"].items():
        for run in filter(lambda run: run["page"], runs):
            text = (paths.run_dir(context["profile"], step, run["name"]) / f"{step}.ipynb").read_text(encoding="utf-8")
            is_demo = context["demo"] and step != "evidence"  # its numbers are published measurements
            made[run["page"]] = run_page(text, step, run, profile=context["profile"], demo=is_demo).encode()
        if any(run["page"] and run["name"] != "all" for run in runs):
            listing = templates.rendered("_runs.md", **context, step=step, records=runs)
            made[f"runs/{step}.md"] = listing.encode()
    return made


def run_page(notebook: str, step: str, run: dict[str, Any], *, profile: str, demo: bool) -> str:
    """Return an executed notebook as a page of the book, with the run's title and record on top.

    Cells of parameters are folded or dropped, because the record lists the values used. Log noise and absolute paths of this
    machine are removed. `run` is the run's ``run.json`` with its name; `demo` warns that the images are generated.
    """
    root = str(paths.root())
    notebook = re.sub(rf"{re.escape(root)}(?![\w.-])", ".", notebook.replace(f"{root}/", ""))
    content = nbformat.reads(notebook, as_version=4)
    content.metadata.pop("papermill", None)
    words = step.replace("_", " ").capitalize()
    titles = datasets.titles() | {"none": "random weights"}
    named = [re.sub(r"^\w+", lambda key: titles.get(key[0], key[0]), part) for part in run["name"].split("--")]
    title = question = words if run["name"] == "all" else f"{words}: {' → '.join(named)}"
    for cell in content.cells:
        headings = re.findall(r"^#+ (.+)$", cell.source, flags=re.M) if cell.cell_type == "markdown" else []
        question = templates.plain(headings[-1]) if headings else question  # describes the figures below it
        cell.metadata["mystnb"] = {"image": {"alt": f"Figure: {question}"}}
        tags = cell.metadata.get("tags", [])
        cell.metadata["tags"] = [*tags, *(_HIDDEN[tag] for tag in tags if tag in _HIDDEN)]
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs if (kept := _without_noise(output))]
    own = next((cell for cell in content.cells if cell.cell_type == "markdown" and cell.source.startswith("# ")), None)
    if own:  # the notebook's title, the same for every run of a step
        own.source = own.source.partition("\n")[2].lstrip("\n")
    place, folder = f"records/{step}/{run['name']}.json", paths.run_dir(profile, step, run["name"]) / "figures"
    paths_of = sorted(folder.glob("*.svg")) if STEPS[step].has_figures else []
    figures = [(f"figures/{step}/{run['name']}/{path.stem}", path.stat().st_size < LARGE) for path in paths_of]
    known = {"title": title, "run": run, "profile": profile, "demo": demo, "place": place, "figures": figures}
    # The id is fixed: with a random one, every assembly would change the page.
    content.cells.insert(0, nbformat.v4.new_markdown_cell(templates.rendered("_run_head.md", **known), id="run-head"))
    return nbformat.writes(content)


def _without_noise(output: Any) -> Any | None:
    """Return an output without log lines of the kernel and of TensorFlow's start; None if nothing is left."""
    if output.get("name") != "stderr":
        return output
    output.text = "".join(line for line in output.text.splitlines(keepends=True) if not _NOISE.search(line))
    return output if output.text.strip() else None


def records(profile: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    """Return the record of every run that has a page, as JSON, by its place in the book.

    It is the Sacred record, or the `run.json` of a run without one (imported results, a notebook run by hand).
    """
    found = {record["number"]: record for record in reading.load(profile)}
    staged = {}
    for step, of_step in runs.items():
        for run in filter(lambda run: run["page"], of_step):
            record = found.get(run.get("record"))
            content = {name: value for name, value in run.items() if name != "page"}
            if record and record["run_id"] == run["run_id"]:
                content = {name: value for name, value in record.items() if name not in ("host", "output")}
            text = json.dumps(content, indent=1).replace(f"{paths.root()}/", "")
            staged[f"records/{step}/{run['name']}.json"] = text.encode()
    return staged
