"""The steps of the study: one record each. A new step is a notebook, a record here, and a chapter of the book."""

import ast
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from catscans_lib import paths
from catscans_lib.datasets import Ingest, Overlaps, own
from catscans_lib.errors import InputError, Strict
from catscans_lib.evaluation import Evaluate, Stability
from catscans_lib.evidence import Evidence
from catscans_lib.experiment import Pretrain, Transfer
from catscans_lib.grid import elsewhere
from catscans_lib.grid.schema import Profile, Resources
from catscans_lib.inspection import FeatureMaps
from catscans_lib.recommend import Recommend
from catscans_lib.transferability import Similarity, Transferability


class Row(NamedTuple):
    """One run that a profile asks for: its parameters, the place in the file they come from, the runs it needs."""

    values: dict[str, Any]
    place: str
    needs: Iterable[str]


@dataclass(frozen=True)
class Step:
    """A notebook, and what the sweep, the book and the recipes must know about it."""

    name: str  # of the notebook, too
    settings: type[Strict]  # the notebook's parameters
    run_name: str  # with parameters in braces; "all": a profile has one such run
    rows: Callable[[Profile], Iterable[Row]] | None = None  # runs that a profile asks for; None: users start it by hand
    needs: tuple[str, ...] = ()  # runs that a run started by hand needs; a row states its own
    seconds: float = 0.0  # a run of the demo, three at a time on 2 cores; where it trains, without the training
    trains: bool = False  # a network, so that its time grows with images and epochs
    resources: Resources = field(default_factory=Resources)  # where the profile states nothing
    has_figures: bool = True  # for the book; those of other steps are seen only in their executed notebooks

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
        return assigned(self._as_python(source))

    def code(self) -> str:
        """Return the notebook's code as Python, without the default values of its parameters: a run gets all its settings."""
        found = []
        for _, source, tags in (cell for cell in self.cells() if cell[0] == "code"):
            source = self._as_python(source)
            if "parameters" in tags:
                statements = [
                    node for node in ast.parse(source).body if _assigned(node) not in self.settings.model_fields
                ]
                source = ast.unparse(ast.Module(statements, []))
            found.append(source)
        return "\n".join(found)

    def _as_python(self, cell: str) -> str:
        """Return a cell with IPython's magics (`%time`, `!ls`) as calls of functions; InputError if it is not Python."""
        try:
            compile(cell, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            return cell
        except SyntaxError:
            from IPython.core.inputtransformer2 import TransformerManager
        python = TransformerManager().transform_cell(cell)
        try:
            compile(python, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            place = f"line {error.lineno}: {(error.text or '').strip()}"
            raise InputError(
                f"notebooks/{self.name}.ipynb has a cell that is not Python ({error.msg}, {place})."
            ) from None
        return python

    def check_notebook(self) -> None:
        """Raise InputError if a cell is not Python, or a parameter is missing, of which papermill would only warn."""
        self.code()
        found = self.parameters()
        if missing := sorted(set(self.settings.model_fields) - set(found)):
            where = f"notebooks/{self.name}.ipynb"
            raise InputError(
                f"{where} has no parameter {', '.join(missing)}; its parameters cell has: {', '.join(found)}."
            )


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


def _trained_sources(profile: Profile) -> list[str]:
    return [key for key, row in profile.pretrain.sources.items() if not (row or {}).get("weights")]


def _read(profile: Profile) -> list[str]:
    """Return the datasets whose images are read."""
    external = [pair.test for pair in profile.external]
    return list(dict.fromkeys([*_trained_sources(profile), *profile.transfer.targets, *external]))


def _shared(profile: Profile, dataset: str, source: str) -> dict[str, Any]:
    """Return the parameters that all training runs share; the network is the source's own or the profile's."""
    return {
        "backbone": (profile.pretrain.sources.get(source) or {}).get("backbone", profile.backbone),
        "precision": profile.precision,
        "threads": profile.threads,
        "deterministic": profile.deterministic,
        "size_px": profile.datasets[dataset].size_px,
    }


def _ingests(names: Iterable[str]) -> list[str]:
    return [f"ingest/{name}" for name in names]


def _ingest(profile: Profile) -> Iterator[Row]:
    for key in _read(profile):
        values = {
            "dataset": key,
            "data": "native" if key in own.names() else profile.data,
            **profile.datasets[key].model_dump(),
            "n_folds": profile.folds.n_folds if key in profile.transfer.targets else None,
            "fold_seed": profile.folds.seed,
            "max_images": (profile.transfer.targets.get(key) or {}).get("max_images"),
        }
        yield Row(values, f"datasets.{key}", ())


def _overlaps(profile: Profile) -> Iterator[Row]:
    yield Row({"datasets": _read(profile)}, "datasets", _ingests(_read(profile)))


def _pretrain(profile: Profile) -> Iterator[Row]:
    for key, row in profile.pretrain.sources.items():
        targets = list(profile.transfer.targets)
        values = {
            "source": key,
            **_shared(profile, key, key),
            "seed": profile.pretrain.seed,
            "exclude": [target for target in targets if target != key],
            "weights": None,
            **profile.pretrain.defaults,
            **(row or {}),
        }
        # A source is trained without the images that lie in a target, so the targets are read first.
        read = dict.fromkeys([key, *targets]) if key in _trained_sources(profile) else ()
        yield Row(values, f"pretrain.sources.{key}", _ingests(read))


def _transfer(profile: Profile) -> Iterator[Row]:
    block = profile.transfer
    elsewhere.checked(profile)
    for target, row in block.targets.items():
        for source in [*(["none"] if block.include_none else []), *profile.pretrain.sources]:
            if source == target:
                continue
            values = {
                "source": source,
                "target": target,
                **_shared(profile, target, source),
                # Sources are compared at an equal budget: the longer one is for the baseline alone.
                "modes": [mode for mode in block.modes if mode != "fine_tune_long" or source == "none"],
                "seeds": block.seeds,
                "long_epochs": block.long_epochs,
                "external": elsewhere.tests(profile, target),
                **block.defaults,
                **{key: value for key, value in (row or {}).items() if key != "max_images"},
            }
            pretrained = [f"pretrain/{source}"] if source != "none" else []
            read = _ingests([target, *values["external"]])
            yield Row(values, f"transfer.targets.{target}", [*read, *pretrained])


def _transfers(profile: Profile) -> list[str]:
    return [f"transfer/{row.values['source']}--{row.values['target']}" for row in _transfer(profile)]


def _evaluate(profile: Profile) -> Iterator[Row]:
    mode, modes = profile.primary.mode, profile.transfer.modes
    if mode not in modes:
        raise InputError(f"primary.mode is '{mode}'; transfer.modes has: {', '.join(modes)}.")
    values = {**profile.evaluate, "test": profile.primary.test, "margin": profile.primary.margin}
    yield Row(values, "evaluate", _transfers(profile))


def _stability(profile: Profile) -> Iterator[Row]:
    yield Row({}, "stability", _transfers(profile))


def _feature_maps(profile: Profile) -> Iterator[Row]:
    for target in profile.transfer.targets:
        pretrained = [source for source in profile.pretrain.sources if source != target]
        sources = [*pretrained, *(["none"] if profile.transfer.include_none else [])]
        needs = [*_ingests([target]), *(f"pretrain/{source}" for source in pretrained)]
        needs += [f"transfer/{source}--{target}" for source in sources]
        yield Row({"target": target, "sources": sources, **profile.feature_maps}, "feature_maps", needs)


def _similarity(profile: Profile) -> Iterator[Row]:
    if profile.similarity is None:
        return
    probe, sources = profile.similarity.get("probe"), list(profile.pretrain.sources)
    if probe not in sources:
        raise InputError(
            f"similarity.probe is '{probe}', no source of this grid; it has: {', '.join(sorted(sources))}."
        )
    for target in profile.transfer.targets:
        others = [source for source in sources if source != target]
        read = dict.fromkeys([target, *(source for source in _trained_sources(profile) if source != target)])
        needs = [*_ingests(read), *(f"pretrain/{source}" for source in dict.fromkeys([*others, probe]))]
        values = {"target": target, "sources": others, "primary": profile.primary.measure, **profile.similarity}
        yield Row(values, "similarity", needs)


def _transferability(profile: Profile) -> Iterator[Row]:
    if profile.similarity is not None:
        needs = [*_transfers(profile), *(f"similarity/{target}" for target in profile.transfer.targets)]
        declared = profile.primary.model_dump(include={"mode", "measure", "statistic"})
        # of the same AUCs as evaluate
        values = {"average": profile.evaluate.get("average"), **declared, **profile.transferability}
        yield Row(values, "transferability", needs)


def _evidence(profile: Profile) -> Iterator[Row]:
    if (paths.root() / "evidence").is_dir():
        yield Row({}, "evidence", ())


_ALL = (
    Step("ingest", Ingest, "{dataset}", _ingest, seconds=1.8),
    Step("overlaps", Overlaps, "all", _overlaps, seconds=0.9, has_figures=False),
    Step("pretrain", Pretrain, "{source}", _pretrain, seconds=0.5, trains=True, has_figures=False),
    Step("transfer", Transfer, "{source}--{target}", _transfer, seconds=5.0, trains=True, has_figures=False),
    Step("evaluate", Evaluate, "all", _evaluate, seconds=7.0),
    Step("stability", Stability, "all", _stability, seconds=2.0),
    Step("feature_maps", FeatureMaps, "{target}", _feature_maps, seconds=11.0),
    Step("similarity", Similarity, "{target}", _similarity, seconds=27.0),
    Step("transferability", Transferability, "all", _transferability, seconds=7.0),
    Step("evidence", Evidence, "all", _evidence, seconds=9.0),
    Step("recommend", Recommend, "{place}"),
)  # fmt: skip
STEPS = {step.name: step for step in _ALL}
