"""The library reference: a page for every room that a user calls, which Sphinx's autodoc fills from the docstrings.

The pages need no import of the rooms; Sphinx imports them when it builds the book.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from catscans_lib.book.templates import template

LIBRARY = Path(__file__).parents[1]
STOREYS = (  # from top to bottom; the contracts in pyproject.toml enforce them
    ("running things", ("cli", "book", "sweep", "sharing", "runs", "grid")),
    ("answering questions", ("recommend", "evidence", "transferability", "inspection", "experiment", "evaluation", "figures")),
    ("arrays in, arrays out", ("similarity", "networks", "training", "images", "datasets", "statistics")),
)  # fmt: skip
BASE = ("results", "errors", "paths")  # modules that every room may import


@dataclass(frozen=True)
class Module:
    """A public module: its dotted name and its docstring."""

    name: str
    docstring: str

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.docstring.partition("\n")[0]


@cache
def modules(room: str) -> tuple[Module, ...]:
    """Return the package or module `room` and its public modules, in alphabetical order; nothing is imported."""
    files = sorted((LIBRARY / room).rglob("*.py")) or [LIBRARY / f"{room}.py"]
    found = {file: ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) for file in files}
    return tuple(
        Module(".".join(file.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__"), text)
        for file, text in found.items()
        if text and (file.stem == "__init__" or not file.stem.startswith("_"))
    )


def pages(profile: str) -> dict[str, bytes]:
    """Return the overview and one page per room of the two lower storeys, by their places in the book."""
    called = ["results", *(room for _, rooms in STOREYS[1:] for room in rooms)]
    rooms = {room: modules(room) for room in called}
    page = template("_library.md", ())
    made = {f"library/{room}.md": page.render(room=room, modules=of).encode() for room, of in rooms.items()}
    return made | {"library.md": template("library.md", ()).render(rooms=rooms, profile=profile).encode()}


def setup(app: Any) -> dict[str, Any]:
    """Adapt autodoc to this library's docstrings; Sphinx calls this, as `_config.yml` names this module."""
    app.connect("autodoc-skip-member", _skip_named_tuple_field)
    app.connect("autodoc-process-docstring", _escape_underscores, priority=400)  # before napoleon, which has 500
    return {"parallel_read_safe": True}


def _skip_named_tuple_field(app: Any, kind: str, name: str, member: object, skip: bool, options: Any) -> bool | None:
    return True if type(member).__name__ == "_tuplegetter" else None


def _escape_underscores(app: Any, kind: str, name: str, member: object, options: Any, lines: list[str]) -> None:
    """Escape a word's last underscore outside code: reStructuredText would read it as a link."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [re.sub(r"(\w)_(?!\w)", r"\1\\_", part) for part in parts[::2]]
        lines[number] = "".join(parts)
