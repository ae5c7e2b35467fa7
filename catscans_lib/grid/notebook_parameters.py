"""What the project's notebooks say, read as plain JSON: nbformat would add a second to the start of every run."""

import ast
import json
from pathlib import Path

from catscans_lib import paths
from catscans_lib.errors import InputError


def cells(path: Path) -> list[tuple[str, str, list[str]]]:
    """Return kind ("code" or "markdown"), text and tags of every cell."""
    if not path.is_file():
        raise InputError(f"No notebook at {paths.relative(path)}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [(cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in content]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{paths.relative(path)} is no notebook of format 4: {error!r}. Restore it from git."
        ) from error


def parameters(path: Path) -> list[str]:
    """Return the names assigned in the notebook's cell tagged `parameters`."""
    for _, source, tags in cells(path):
        if "parameters" in tags:
            targets = [node.targets[0] for node in ast.parse(source).body if isinstance(node, ast.Assign)]
            return [target.id for target in targets if isinstance(target, ast.Name)]
    raise InputError(f"{paths.relative(path)} has no cell tagged 'parameters'.")
