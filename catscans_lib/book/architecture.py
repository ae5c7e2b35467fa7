"""The rooms of the library as the code has them: their list, and the library reference that autodoc fills."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

from catscans_lib.book.templates import rendered

LIBRARY = Path(__file__).parents[1]
STOREYS = (  # from top to bottom; the contracts in pyproject.toml enforce them
    ("running things", ("cli", "book", "sharing", "sweep", "runs", "grid")),
    ("answering questions", ("recommend", "evidence", "inspection", "transferability", "experiment", "evaluation", "figures")),
    ("arrays in, arrays out", ("similarity", "training", "datasets", "networks", "statistics", "images")),
)  # fmt: skip
BASE = ("below all rooms", ("results", "errors", "paths"))  # modules that every room may import


def modules(room: str) -> dict[str, str]:
    """Return the names and docstrings of a package and its public modules, or of a module."""
    found = {parts: ast.get_docstring(tree) for parts, tree in _parsed().items() if parts[0] == room}
    return {
        ".".join(("catscans_lib", *parts)).removesuffix(".__init__"): text
        for parts, text in found.items()
        if text and (parts[-1] == "__init__" or not parts[-1].startswith("_"))
    }


@cache
def _parsed() -> dict[tuple[str, ...], ast.Module]:
    """Return the syntax tree of every module by the parts of its path; the first part is the room."""
    files = sorted(LIBRARY.rglob("*.py"))
    return {f.relative_to(LIBRARY).with_suffix("").parts: ast.parse(f.read_text(encoding="utf-8")) for f in files}


def pages(profile: str) -> dict[str, bytes]:
    """Return the chapter on the architecture, and the library reference.

    The reference is an overview and a page per room of the two lower storeys.
    """
    packages = {room: next(iter(modules(room).items())) for _, of_storey in (*STOREYS, BASE) for room in of_storey}
    rooms = {room: modules(room) for room in ("results", *(room for _, of_storey in STOREYS[1:] for room in of_storey))}
    made = {f"library/{room}.md": rendered("_library.md", room=room, modules=of) for room, of in rooms.items()}
    made["architecture.md"] = rendered("architecture.md", storeys=STOREYS, base=BASE, packages=packages)
    made["library.md"] = rendered("library.md", rooms=rooms, profile=profile)
    return {place: text.encode() for place, text in made.items()}


def setup(app: Any) -> dict[str, Any]:
    """Adapt autodoc to this library's docstrings; Sphinx calls this, as `_config.yml` names this module."""
    app.connect("autodoc-skip-member", _skip_named_tuple_field)
    app.connect("autodoc-process-signature", _shorten_array_like)
    app.connect("autodoc-process-docstring", _escape_underscores, priority=400)  # before napoleon, which has 500
    return {"parallel_read_safe": True}


def _skip_named_tuple_field(app: Any, kind: str, name: str, member: object, *rest: Any) -> bool | None:
    return type(member).__name__ == "_tuplegetter" or None


def _shorten_array_like(
    app: Any, kind: str, name: str, member: object, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write ArrayLike, as the code does; autodoc writes out the union that it stands for."""
    from numpy.typing import ArrayLike
    from sphinx.util.typing import stringify_annotation

    return signature and signature.replace(stringify_annotation(ArrayLike, "smart"), "ArrayLike"), returned


def _escape_underscores(app: Any, kind: str, name: str, member: object, options: Any, lines: list[str]) -> None:
    """Escape a word's last underscore outside code: reStructuredText would read it as a link."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [re.sub(r"(\w)_(?!\w)", r"\1\\_", part) for part in parts[::2]]
        lines[number] = "".join(parts)
