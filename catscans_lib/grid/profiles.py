"""Writes rows into `params/<profile>.yaml`; what else stands there, comments too, stays (an empty value loses its `null`)."""

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.grid import expand

ROLES = ("source", "target")


def add_dataset(
    profile: str, dataset: str, *, roles: Collection[str], size_px: int | None = None, like: str = "paper"
) -> Path:
    """Give a dataset its row in a profile; return the profile's file.

    Parameters
    ----------
    profile : str
        A new one takes its settings from the profile `like`, without its datasets: the sources are those of `like` that
        come as weights, the only target is the dataset.
    roles : collection of str
        "source", "target" or both.
    size_px : int, optional
        Side of the stored images; that of the profile's other datasets when not given.

    Raises
    ------
    InputError
        If the dataset has a row already, a new profile would have no target, or the result is not valid.
    """
    path = paths.params_path(profile)
    is_new = not path.is_file()
    if is_new and "target" not in roles:
        raise InputError(
            f"Profile '{profile}' is new, and a profile needs a target. Add the dataset as a target or as both."
        )
    content = _blank(like, profile) if is_new else _read(path)
    rows = content["datasets"]
    if dataset in rows:
        raise InputError(f"params/{profile}.yaml has a row for '{dataset}' already. Edit it there.")
    sizes = [row["size_px"] for row in rows.values()]
    row = CommentedMap(size_px=size_px or max(sizes, key=sizes.count))
    row.fa.set_flow_style()
    rows[dataset] = row
    if "source" in roles:
        content["pretrain"]["sources"][dataset] = None
    if "target" in roles:
        content["transfer"]["targets"][dataset] = None
    text = io.StringIO()
    _yaml().dump(content, text)
    expand.checked(text.getvalue(), f"params/{profile}.yaml")
    part = path.with_name(path.name + ".part")
    part.write_text(text.getvalue(), encoding="utf-8")
    part.replace(path)
    return path


def _blank(like: str, profile: str) -> CommentedMap:
    """The settings of a profile with no dataset but those whose weights others have trained."""
    expand.load(like)
    content = _read(paths.params_path(like))
    content.yaml_set_start_comment(
        f"Own data, with the settings of {like}.yaml; the same for all sources of a target.\n"
        f"Command: make book PROFILE={profile}"
    )
    content["title"] = "Own data"
    content["data"] = "native"
    sources = content["pretrain"]["sources"]
    ready = [key for key, row in sources.items() if (row or {}).get("weights")]
    _keep(sources, ready)
    _keep(content["datasets"], ready)
    _keep(content["transfer"]["targets"], ())
    for key in ready:
        content["datasets"][key].pop("n_images", None)
    return content


def _keep(mapping: CommentedMap, keys: Collection[str]) -> None:
    for key in [key for key in mapping if key not in keys]:
        del mapping[key]


def _read(path: Path) -> Any:
    return _yaml().load(path.read_text(encoding="utf-8"))


def _yaml() -> YAML:
    writer = YAML()
    writer.width = 130
    return writer
