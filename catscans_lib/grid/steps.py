"""The steps of the study: one record each. A new step is a notebook, a record here, and a chapter of the book."""

import ast
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from catscans_lib import paths
from catscans_lib.datasets import Ingest, Overlaps
from catscans_lib.errors import InputError, Strict
from catscans_lib.evaluation import Backbones, Evaluate, External, Sizes, Stability, Variance
from catscans_lib.evidence import Evidence
from catscans_lib.experiment import Pretrain, Transfer
from catscans_lib.grid import rows
from catscans_lib.grid.rows import Row
from catscans_lib.grid.schema import Profile, Resources
from catscans_lib.inspection import FeatureMaps
from catscans_lib.recommend import Recommend
from catscans_lib.transferability import Similarity, Transferability

SYNTAX = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # compile: parse only; a cell may await something


@dataclass(frozen=True)
class Step:
    """A notebook, and what the sweep, the book and the recipes must know about it."""

    name: str  # of the notebook, too
    settings: type[Strict]  # the notebook's parameters
    run_name: str  # with parameters in braces; "all": a profile has one such run
    rows: Callable[[Profile], Iterable[Row]] | None = None  # runs that a profile asks for; None: users start it by hand
    seconds: float = 0.0  # a run of the demo, three at a time on 2 cores; where it trains, without the training
    trains: bool = False  # a network, so that its time grows with images and epochs
    resources: Resources = field(default_factory=Resources)  # where the profile states nothing
    has_figures: bool = True  # for the book; those of other steps are seen only in their executed notebooks

    def name_of(self, values: dict[str, Any]) -> str:
        """Return the name of the run with these parameters (see `results.variants`); None counts as not given."""
        sizes = {"n_images": "@{}", "n_per_class": "@{}c"}
        size = "".join(text.format(values[key]) for key, text in sizes.items() if values.get(key))
        return self.run_name.format(**{**values, "variant": values.get("variant") or "", "size": size})

    def cells(self) -> list[tuple[str, str, list[str]]]:
        """Return kind ("code" or "markdown"), text and tags of every cell; nbformat takes a second longer to load."""
        path = paths.notebook_path(self.name)
        if not path.is_file():
            raise InputError(f"No notebook at {paths.relative(path)}.")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))["cells"]
            return [(cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in content]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{paths.relative(path)} is no notebook of format 4: {error!r}. Restore it from git."
            ) from error

    def parameters(self) -> list[str]:
        """Return the names that the notebook's cell tagged `parameters` assigns."""
        source = next((source for _, source, tags in self.cells() if "parameters" in tags), None)
        if source is None:
            raise InputError(f"notebooks/{self.name}.ipynb has no cell tagged 'parameters'.")
        return assigned(_as_python(source))

    def code(self) -> str:
        """Return the notebook's code as Python, without the default values of its parameters: a run gets all its settings."""
        found = []
        for _, source, tags in (cell for cell in self.cells() if cell[0] == "code"):
            source = _as_python(source)
            if "parameters" in tags:
                statements = [
                    node for node in ast.parse(source).body if _assigned(node) not in self.settings.model_fields
                ]
                source = ast.unparse(ast.Module(statements, []))
            found.append(source)
        return "\n".join(found)

    def check_notebook(self) -> None:
        """Raise InputError if a cell is not Python, or a parameter is missing, of which papermill would only warn."""
        where = f"notebooks/{self.name}.ipynb"
        try:
            for source in [source for kind, source, _ in self.cells() if kind == "code"]:
                compile(_as_python(source), "cell", "exec", SYNTAX)
        except SyntaxError as error:
            place = f"line {error.lineno}: {(error.text or '').strip()}"
            raise InputError(f"{where} has a cell that is not Python ({error.msg}, {place}).") from None
        found = self.parameters()
        if missing := sorted(set(self.settings.model_fields) - set(found)):
            raise InputError(
                f"{where} has no parameter {', '.join(missing)}; its parameters cell has: {', '.join(found)}."
            )


def _as_python(cell: str) -> str:
    """Return a cell with IPython's magics (`%time`, `!ls`) as calls of functions."""
    try:
        compile(cell, "cell", "exec", SYNTAX)
        return cell
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        return TransformerManager().transform_cell(cell)


def assigned(code: str) -> list[str]:
    """Return the names that a cell assigns, sorted.

    >>> assigned("epochs = 5  # per fold\\nsource = None")
    ['epochs', 'source']
    """
    return sorted(filter(None, map(_assigned, ast.parse(code).body)))


def _assigned(statement: ast.stmt) -> str | None:
    """Return the name that a statement gives a value, if it is a single name."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None


_ALL = (
    Step("ingest", Ingest, "{dataset}", rows.ingest, seconds=1.8),
    Step("overlaps", Overlaps, "all", rows.overlaps, seconds=0.9, has_figures=False),
    Step("pretrain", Pretrain, "{source}{variant}", rows.pretrain, seconds=0.5, trains=True, has_figures=False),
    Step("transfer", Transfer, "{source}{variant}--{target}{size}", rows.transfer, seconds=5.0, trains=True, has_figures=False),
    Step("evaluate", Evaluate, "all", rows.evaluate, seconds=7.0),
    Step("stability", Stability, "all", rows.stability, seconds=2.0),
    Step("feature_maps", FeatureMaps, "{target}", rows.feature_maps, seconds=11.0),
    Step("similarity", Similarity, "{target}", rows.similarity, seconds=27.0),
    Step("transferability", Transferability, "all", rows.transferability, seconds=7.0),
    Step("sizes", Sizes, "all", rows.sizes, seconds=12.0),
    Step("variance", Variance, "all", rows.variance, seconds=5.0),
    Step("backbones", Backbones, "all", rows.backbones, seconds=4.0),
    Step("external", External, "all", rows.external, seconds=10.0),
    Step("evidence", Evidence, "all", rows.evidence, seconds=9.0),
    Step("recommend", Recommend, "{place}"),
)  # fmt: skip
STEPS = {step.name: step for step in _ALL}
