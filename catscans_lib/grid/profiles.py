"""Reads `params/<profile>.yaml`, and adds datasets to it."""

import io
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catscans_lib import datasets, paths, results
from catscans_lib.errors import InputError, read_yaml, unknown, validated, yaml_editor
from catscans_lib.grid import axes, steps
from catscans_lib.grid.schema import Profile, Resources
from catscans_lib.networks import registry
from catscans_lib.transferability import Study

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

ROLES = ("source", "target")


def names() -> list[str]:
    """Return the names of all profiles."""
    return sorted(path.stem for path in (paths.root() / "params").glob("*.yaml"))


def load(profile: str) -> Profile:
    """Return a profile; raises InputError for an unknown profile, key, type or dataset."""
    return validate(read(profile), where(profile))


def read(profile: str) -> Any:
    """Return what a profile's file states, unchecked (a book is built from results whose file `load` may refuse)."""
    path = paths.params_path(profile)
    if not path.is_file():
        raise unknown("profile", profile, names())
    return read_yaml(path, where(profile))


def where(profile: str) -> str:
    """Return a profile's file, as messages show it."""
    return f"params/{profile}.yaml"


def validate(content: Any, where: str) -> Profile:
    """Return the validated content of a profile's file; `where` begins the message of an InputError."""
    profile = validated(Profile, content, where)
    rows = {f"transfer.targets.{target}": row for target, row in profile.transfer.targets.items()}
    rows |= {"transfer.defaults": profile.transfer.defaults, "pretrain.defaults": profile.pretrain.defaults}
    if place := next((place for place, row in rows.items() if "backbone" in (row or {})), None):
        raise InputError(
            f"{where}: {place}.backbone: a network belongs to a source. Set pretrain.sources.<source>.backbone, or the backbone "
            "at the top of the file for all sources."
        )
    known_steps = [*steps.STEPS, "default"]
    for step in profile.resources:
        if step not in known_steps:
            raise InputError(f"{where}: resources: {unknown('step', step, known_steps)}")
    used = {
        "datasets": profile.datasets,
        "pretrain.sources": profile.pretrain.sources,
        "transfer.targets": profile.transfer.targets,
        "external": [key for pair in profile.external for key in (pair.train, pair.test)],
    }
    for block, key in ((block, key) for block, keys in used.items() for key in keys):
        if key not in datasets.known():
            raise InputError(f"{where}: {block}: {unknown('dataset', key, datasets.known())}")
        if key not in profile.datasets:
            rows = ", ".join(sorted(profile.datasets))
            raise InputError(f"{where}: {block} uses '{key}', which has no row in datasets; it has: {rows}.")
    axes.check(profile, where)
    return profile


def check_measure(profile: str) -> None:
    """Raise InputError if the primary measure is unknown or not computed; apart from `load`, because it imports pandas."""
    from catscans_lib.similarity import registry

    loaded = load(profile)
    stated = (loaded.similarity or {}).get("measures") or list(registry.MEASURES)
    places = [("similarity.measures", name, registry.MEASURES) for name in stated]
    for place, name, known in (*places, ("primary", loaded.primary.measure, stated)):
        if name not in known:
            raise InputError(f"{where(profile)}: {place}: {unknown('measure', name, known)}")


def resources(profile: str, step: str) -> Resources:
    """Return what a run of a step asks for: by the step's row, then the row `default`, then the step's record."""
    rows, found = load(profile).resources, steps.STEPS[step].resources
    for name in ("default", step):
        if name in rows:
            found = found.model_copy(update=rows[name].model_dump(exclude_unset=True))
    return found


def is_demo(profile: str) -> bool:
    """Return whether results are of generated images, by the profile's file (which `load` may refuse) now or at ingestion."""
    ingested = [results.record(profile, f"ingest/{name}") for name in results.finished(profile, "ingest")]
    settings = [read(profile), *(record.get("parameters", {}) for record in ingested)]
    return any(values.get("data") == "demo" for values in settings)


def titles(profile: str) -> dict[str, str]:
    """Return `datasets.titles`, with the network of every source that has another one than the profile's."""
    content, found = read(profile), datasets.titles()
    for source, row in content.get("pretrain", {}).get("sources", {}).items():
        name = (row or {}).get("backbone")
        if source in found and name not in (None, content.get("backbone")):
            role = "as a source: " if source in content["transfer"]["targets"] else ""
            found[source] += f" ({role}{registry.find(name).title})"
    return found


def threads(profile: str, step: str, parameters: Mapping[str, Any]) -> int:
    """Return the cores of a run: those of its parameters, else of its step's resources, else all if it trains and one if not."""
    given = parameters.get("threads") or resources(profile, step).threads
    return given or (os.cpu_count() or 1 if steps.STEPS[step].trains else 1)


def study(profile: str) -> Study:
    """Return what measures and advice need to know of a profile; InputError where it has no block `similarity`."""
    loaded = load(profile)
    if loaded.similarity is None:
        raise InputError(f"params/{profile}.yaml has no block 'similarity'. Copy it from params/demo.yaml.")
    sizes_px = {name: row.size_px for name, row in loaded.datasets.items()}
    done = tuple(source for source in loaded.pretrain.sources if results.is_done(profile, f"pretrain/{source}"))
    probe, targets = loaded.similarity["probe"], tuple(loaded.transfer.targets)
    return Study(profile, loaded.backbone, probe, sizes_px, targets, titles(profile), is_demo(profile), done)


def add_dataset(
    profile: str, dataset: str, *, roles: Collection[str], size_px: int | None = None, resize: str = "squash",
    strict: bool = False, like: str = "paper",
) -> Path:  # fmt: skip
    """Add a dataset to a profile as one or both of `ROLES`, keeping the file's comments; return the file.

    A new profile takes its settings from the profile `like`, and of its sources those that come as weights. `size_px` is the
    side of the stored images (None: as most datasets of the profile), `resize` and `strict` are as in `schema.DatasetRow`.
    InputError if the profile has the dataset already, a new one would have no target, or the result is not valid.
    """
    path = paths.params_path(profile)
    is_new = not path.is_file()
    if is_new and "target" not in roles:
        raise InputError(
            f"Profile '{profile}' is new, and a profile needs a target. Add the dataset as target or as both."
        )
    content = _new(like, profile) if is_new else yaml_editor().load(path.read_text(encoding="utf-8"))
    rows = content["datasets"]
    if dataset in rows:
        raise InputError(f"params/{profile}.yaml already has a row for '{dataset}'. Edit it there.")
    sizes = [row["size_px"] for row in rows.values()]
    more = ("" if resize == "squash" else f", resize: {resize}") + (", strict: true" if strict else "")
    rows[dataset] = yaml_editor().load(f"{{size_px: {size_px or max(sizes, key=sizes.count)}{more}}}")
    if "source" in roles:
        content["pretrain"]["sources"][dataset] = None
    if "target" in roles:
        content["transfer"]["targets"][dataset] = None
    text = io.StringIO()
    yaml_editor().dump(content, text)
    validate(read_yaml(text.getvalue(), where(profile)), where(profile))
    with paths.atomic_write(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    return path


def _new(like: str, profile: str) -> "CommentedMap":
    """Return the settings of a profile, without its datasets except those that come as weights."""
    load(like)
    content = yaml_editor().load(paths.params_path(like).read_text(encoding="utf-8"))
    content.yaml_set_start_comment(
        f"Own data, with the settings of {like}.yaml; the same for all sources of a target.\n"
        f"Command: make book PROFILE={profile}"
    )
    content["title"], content["data"] = "Own data", "native"
    sources, targets = content["pretrain"]["sources"], content["transfer"]["targets"]
    kept = {key for key, row in sources.items() if (row or {}).get("weights")}
    for mapping, keys in ((sources, kept), (content["datasets"], kept), (targets, set())):
        for key in set(mapping) - keys:
            del mapping[key]
    for key in ("axes_sources", "seed_targets"):  # they name other datasets
        content["transfer"].pop(key, None)
    content.pop("backbones", None)
    for key in kept:
        content["datasets"][key].pop("n_images", None)
    return content
