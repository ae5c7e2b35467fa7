"""Which files of the library some code reaches, and a fingerprint of each file that ignores layout, comments and docstrings.

Every run asks this, so the answers are cached in `.snakemake/code/`.
"""

import ast
import hashlib
import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from catscans_lib import paths

LIBRARY = Path(__file__).parents[1]


class Facts(NamedTuple):
    """Imports of a file (`catscans_lib.images.store`), and the SHA-256 of its syntax tree without docstrings."""

    imports: list[str]
    meaning: str


def reached(code: str) -> set[Path]:
    """Return the files of the library that `code` imports, directly or through other files."""
    found: set[Path] = set()
    waiting = imports(ast.parse(code))
    while waiting:
        path = _library_file(waiting.pop())
        if path and path not in found:
            found.add(path)
            waiting += _facts(path).imports
    return found


def meaning(path: Path) -> str:
    """Return a file's fingerprint, which comments, docstrings and layout do not change."""
    return _facts(path).meaning


@cache
def _facts(path: Path) -> Facts:
    content = path.read_bytes()
    # Another version of Python or of this module may see other facts.
    key = hashlib.sha256(sys.version.encode() + Path(__file__).read_bytes() + content).hexdigest()
    cached = paths.notes_dir() / "code" / f"{key}.json"
    try:
        return Facts(**json.loads(cached.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # missing or damaged
        facts = _parsed(content)
    if paths.notes_dir().is_dir():  # a sweep has made it
        with suppress(OSError), paths.atomic_write(cached) as part:
            part.write_text(json.dumps(facts._asdict()), encoding="utf-8")
    return facts


def _parsed(content: bytes) -> Facts:
    tree = ast.parse(content)
    for node in ast.walk(tree):
        has_body = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if has_body and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        for name in [name for name, value in ast.iter_fields(node) if value == []]:
            delattr(node, name)  # versions of Python know different fields and print empty ones differently
    return Facts(imports(tree), hashlib.sha256(ast.dump(tree).encode()).hexdigest())


def imports(tree: ast.AST) -> list[str]:
    """Return the modules and names of the library that a syntax tree imports, also inside functions, with dots."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return sorted(name for name in names if name.startswith(f"{LIBRARY.name}."))


@cache
def _library_file(name: str) -> Path | None:
    module = LIBRARY.joinpath(*name.split(".")[1:])
    candidates = (module.with_suffix(".py"), module / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)
