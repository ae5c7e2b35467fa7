"""From `params/<profile>.yaml` to the validated grid of runs: which notebook runs with which parameters, and after what."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from catscans_lib import datasets, paths
from catscans_lib.datasets import own
from catscans_lib.errors import InputError, unknown, validated
from catscans_lib.grid import notebook_parameters, overrides, steps
from catscans_lib.grid.schema import BLOCKS, Profile, Resources
from catscans_lib.transferability.settings import Study


@dataclass(frozen=True)
class Run:
    """One execution of a notebook: its step, its name below the step, its settings and the runs it needs."""

    step: str
    name: str
    settings: BaseModel
    needs: tuple[str, ...]

    @property
    def key(self) -> str:
        """`step/name`, as the sweep and the command line name a run."""
        return f"{self.step}/{self.name}"

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings as plain values, by the names the notebook's parameters cell has."""
        return self.settings.model_dump()

    @property
    def inputs(self) -> dict[str, str]:
        """What this run reads beside other runs: given folders, a card of one's own; another may give another result."""
        dataset = self.parameters.get("dataset") if self.parameters.get("data") == "native" else None
        used = {
            "CATSCANS_DATA": dataset is not None and datasets.get(dataset).is_below_data_dir,
            "CATSCANS_WEIGHTS": self.parameters.get("weights") not in (None, "keras"),
            paths.REFERENCE: self.step == "published",
        }
        folders = {variable: os.environ.get(variable, "") for variable, is_used in used.items() if is_used}
        return folders | ({"card": own.text(dataset)} if dataset in own.names() else {})


def profiles() -> list[str]:
    """Return the profiles there are files for."""
    return sorted(path.stem for path in (paths.root() / "params").glob("*.yaml"))


def load(profile: str) -> Profile:
    """Return a profile's validated content; raises InputError for an unknown profile, key, type or dataset."""
    path = paths.params_path(profile)
    if not path.is_file():
        raise unknown("profile", profile, profiles())
    return checked(path.read_text(encoding="utf-8"), _where(profile), overrides.given())


def _where(profile: str) -> str:
    """The file and what was changed in it for this sweep, as messages name it."""
    return f"params/{profile}.yaml" + "".join(f" --set {name}={value}" for name, value in overrides.given().items())


def checked(text: str, where: str, changes: dict[str, Any] | None = None) -> Profile:
    """Return the content of a profile's file, with changes as of `--set`; InputError, `where` in front, when it is not valid."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not readable as YAML: {error}") from None
    loaded = validated(Profile, overrides.applied(content, changes or {}, BLOCKS), where)
    for step in loaded.resources:
        if step not in (*steps.STEPS, "default"):
            raise InputError(f"{where}: resources: {unknown('step', step, [*steps.STEPS, 'default'])}")
    for block, keys in (
        ("datasets", loaded.datasets),
        ("pretrain.sources", loaded.pretrain.sources),
        ("transfer.targets", loaded.transfer.targets),
    ):
        for key in keys:
            if key not in datasets.known():
                raise InputError(f"{where}: {block}: {unknown('dataset', key, datasets.known())}")
            if key not in loaded.datasets:
                raise InputError(
                    f"{where}: {block} uses '{key}', which has no row in datasets; it has: {_list(loaded.datasets)}."
                )
    return loaded


def grid(profile: str) -> dict[str, Run]:
    """Return every run of a profile by its key, each after the runs it needs."""
    loaded, where = load(profile), _where(profile)
    rows = [*_ingest(loaded), *_pretrain(loaded), *_transfer(loaded), *_reports(loaded)]
    runs: dict[str, Run] = {}
    for step, name, place, values, needs in rows:
        record = validated(steps.STEPS[step], {"profile": profile} | values, f"{where}: {place}")
        runs[f"{step}/{name}"] = Run(step, name, record, tuple(needs))
    for step in dict.fromkeys(run.step for run in runs.values()):
        check_notebook(step)
    return runs


def changed_places(profile: str, name: str) -> list[str]:
    """Return where a change of the grid (`--set name=...`) goes, each place as `block.key`."""
    content = yaml.safe_load(paths.params_path(profile).read_text(encoding="utf-8"))
    return [".".join(place) for place in overrides.places(content, name, BLOCKS)]


def resources(profile: str, step: str) -> Resources:
    """Return what a run of a step asks for: the step's row in `resources`, what it lacks from the row `default`."""
    rows = load(profile).resources
    given = [rows[name].model_dump(exclude_unset=True) for name in ("default", step) if name in rows]
    return Resources(**{name: value for row in given for name, value in row.items()})


def study(profile: str) -> Study:
    """Return what measures and advice need to know of a profile; InputError where it has no block `similarity`."""
    loaded = load(profile)
    if loaded.similarity is None:
        raise InputError(f"params/{profile}.yaml has no block 'similarity'. Copy it from params/demo.yaml.")
    sizes_px = {name: row.size_px for name, row in loaded.datasets.items()}
    return Study(profile, loaded.backbone, loaded.similarity.probe, sizes_px, tuple(loaded.transfer.targets))


def transfers(profile: str) -> list[tuple[str, str]]:
    """Return source and target of every transfer run of a profile."""
    return [tuple(run.name.split("--")) for run in grid(profile).values() if run.step == "transfer"]


def find(step: str, **given: Any) -> Run:
    """Return one run of the grid, with every parameter given that is not None put in its place.

    Advice on one's own images is in no grid; it needs the grid's AUCs and measures.

    Raises
    ------
    InputError
        If the profile, or the run in it, does not exist, or a value is not valid.
    """
    pattern = {
        "ingest": "{dataset}",
        "pretrain": "{source}",
        "transfer": "{source}--{target}",
        "feature_maps": "{target}",
        "similarity": "{target}",
    }
    name = pattern.get(step, "all").format(**given)
    runs = grid(given["profile"])
    changed = {key: value for key, value in given.items() if value is not None}
    if step == "recommend":
        own_images = validated(steps.STEPS[step], changed, f"{step}.ipynb")
        return Run(step, Path(own_images.place).stem, own_images, ("transferability/all", "evaluate/all"))
    if f"{step}/{name}" not in runs:
        known_names = [run.name for run in runs.values() if run.step == step]
        raise unknown(f"{step} run of profile {given['profile']}", name, known_names)
    run = runs[f"{step}/{name}"]
    needs = () if changed.get("logs") else run.needs  # curves of one's own come from no run of the grid
    return replace(run, settings=validated(steps.STEPS[step], run.parameters | changed, f"{step}.ipynb"), needs=needs)


def check_notebook(step: str) -> None:
    """Raise InputError unless the notebook's parameters cell has exactly the names the sweep passes."""
    here = set(notebook_parameters.parameters(paths.notebook_path(step)))
    wanted = set(steps.STEPS[step].model_fields)
    if missing := wanted - here:
        raise InputError(
            f"notebooks/{step}.ipynb has no parameter {_list(missing)}; its parameters cell has: {_list(here)}."
        )


def _ingest(profile: Profile) -> list[tuple]:
    used = dict.fromkeys([*_trained_sources(profile), *profile.transfer.targets])
    return [("ingest", key, f"datasets.{key}", _ingest_values(profile, key), ()) for key in used]


def _ingest_values(profile: Profile, key: str) -> dict[str, Any]:
    is_target = key in profile.transfer.targets
    row = profile.transfer.targets.get(key) or {}
    return {
        "dataset": key,
        "data": "native" if key in own.names() else profile.data,
        **profile.datasets[key].model_dump(),
        "n_folds": profile.folds.n_folds if is_target else None,
        "fold_seed": profile.folds.seed,
        "max_images": row.get("max_images"),
    }


def _trained_sources(profile: Profile) -> list[str]:
    return [key for key, row in profile.pretrain.sources.items() if not (row or {}).get("weights")]


def _pretrain(profile: Profile) -> list[tuple]:
    trained = _trained_sources(profile)
    rows = []
    for key, row in profile.pretrain.sources.items():
        values = {
            "source": key,
            "backbone": profile.backbone,
            "precision": profile.precision,
            "threads": profile.threads,
            "deterministic": profile.deterministic,
            "size_px": profile.datasets[key].size_px,
            "seed": profile.pretrain.seed,
            "exclude": [target for target in profile.transfer.targets if target != key],
            "weights": None,
            **profile.pretrain.defaults,
            **(row or {}),
        }
        # Images that lie in a target are taken out of the source, so the targets are read first.
        reads = dict.fromkeys([key, *profile.transfer.targets]) if key in trained else ()
        rows.append(("pretrain", key, f"pretrain.sources.{key}", values, [f"ingest/{name}" for name in reads]))
    return rows


def _transfer(profile: Profile) -> list[tuple]:
    block = profile.transfer
    rows = []
    for target, row in block.targets.items():
        own = {key: value for key, value in (row or {}).items() if key != "max_images"}
        sources = [*(["none"] if block.include_none else []), *profile.pretrain.sources]
        for source in (source for source in sources if source != target):
            values = {
                "source": source,
                "target": target,
                "backbone": profile.backbone,
                "precision": profile.precision,
                "threads": profile.threads,
                "deterministic": profile.deterministic,
                "size_px": profile.datasets[target].size_px,
                # Only the baseline is also shown with a longer budget: sources are compared at an equal one.
                "modes": [mode for mode in block.modes if mode != "fine_tune_long" or source == "none"],
                "seeds": block.seeds,
                "long_epochs": block.long_epochs,
                "long_learning_rate": block.long_learning_rate,
                **block.defaults,
                **own,
            }
            needs = [f"ingest/{target}", *([f"pretrain/{source}"] if source != "none" else [])]
            rows.append(("transfer", f"{source}--{target}", f"transfer.targets.{target}", values, needs))
    return rows


def _reports(profile: Profile) -> list[tuple]:
    transfers = [f"transfer/{name}" for _, name, *_ in _transfer(profile)]
    read = [name for _, name, *_ in _ingest(profile)]
    rows = [
        ("overlaps", "all", "datasets", {"datasets": read}, [f"ingest/{name}" for name in read]),
        ("evaluate", "all", "evaluate", profile.evaluate, transfers),
        ("stability", "all", "stability", {}, transfers),
    ]
    if os.environ.get(paths.REFERENCE):
        rows.append(("published", "all", "published", {}, ()))
    for target in profile.transfer.targets:
        sources = [source for source in profile.pretrain.sources if source != target]
        needs = [f"ingest/{target}", *(f"pretrain/{source}" for source in sources)]
        sources += ["none"] if profile.transfer.include_none else []
        needs += [f"transfer/{source}--{target}" for source in sources]
        values = {"target": target, "sources": sources, **profile.feature_maps.model_dump()}
        rows.append(("feature_maps", target, "feature_maps", values, needs))
    return rows + (_similarity(profile, transfers) if profile.similarity else [])


def _similarity(profile: Profile, transfers: list[str]) -> list[tuple]:
    block, sources = profile.similarity, list(profile.pretrain.sources)
    if block.probe not in sources:
        raise InputError(
            f"similarity.probe is '{block.probe}', which is no source of this grid; it has: {_list(sources)}."
        )
    rows, trained = [], _trained_sources(profile)
    for target in profile.transfer.targets:
        others = [source for source in sources if source != target]
        read = dict.fromkeys([target, *(source for source in trained if source != target)])
        needs = [f"ingest/{name}" for name in read] + [
            f"pretrain/{source}" for source in dict.fromkeys([*others, block.probe])
        ]
        values = {"target": target, "sources": others, **block.model_dump()}
        rows.append(("similarity", target, "similarity", values, needs))
    needs = [*transfers, *(f"similarity/{target}" for target in profile.transfer.targets)]
    values = {"average": profile.evaluate.get("average"), **profile.transferability}  # of the same AUCs as evaluate
    return [*rows, ("transferability", "all", "transferability", values, needs)]


def _list(names: Any) -> str:
    return ", ".join(sorted(names))
