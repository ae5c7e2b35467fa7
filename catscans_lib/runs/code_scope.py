"""Which files of the library does code reach, and what do they mean, whatever their layout? Noted, as every run asks."""

import ast
import hashlib
import json
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from catscans_lib import paths

LIBRARY = Path(__file__).parents[1]


class Facts(NamedTuple):
    """What a file imports (`catscans_lib.images.store`), and the SHA-256 of its syntax tree without docstrings."""

    imports: list[str]
    meaning: str


def reached(code: str) -> set[Path]:
    """Return the files of the library that `code` imports, directly or through each other."""
    found: set[Path] = set()
    waiting = _imports(ast.parse(code))
    while waiting:
        path = _library_file(waiting.pop())
        if path and path not in found:
            found.add(path)
            waiting += _facts(path).imports
    return found


def meaning(path: Path) -> str:
    """Return a fingerprint of a file that comments, docstrings and layout leave as it is."""
    return _facts(path).meaning


@cache
def _facts(path: Path) -> Facts:
    content = path.read_bytes()
    note = _note(content)
    try:
        return Facts(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # none, or not a whole one
        facts = _read(content)
    _keep(facts, note)
    return facts


def _read(content: bytes) -> Facts:
    tree = ast.parse(content)
    imports = _imports(tree)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return Facts(imports, hashlib.sha256(ast.dump(tree).encode()).hexdigest())


def _imports(tree: ast.AST) -> list[str]:
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


def _note(content: bytes) -> Path:
    """Return where the facts of a file of this content are noted; another Python, or another version of this file, asks anew."""
    asked = hashlib.sha256(sys.version.encode() + Path(__file__).read_bytes() + content)
    return paths.notes_dir() / "code" / f"{asked.hexdigest()}.json"


def _keep(facts: Facts, note: Path) -> None:
    """Note facts where a sweep has made its folder; where it cannot be written, the file is read again next time."""
    if not paths.notes_dir().is_dir():
        return
    part = note.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        note.parent.mkdir(exist_ok=True)
        part.write_text(json.dumps(facts._asdict()), encoding="utf-8")
        part.replace(note)
