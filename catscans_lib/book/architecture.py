"""The rooms of the library and their modules, as the code has them, for the chapter on how it is built."""

import ast
from pathlib import Path

LIBRARY = Path(__file__).parents[1]
STOREYS = (  # from top to bottom; the contracts in pyproject.toml enforce them
    ("running things", ("cli", "book", "sharing", "sweep", "runs", "grid")),
    ("answering questions", ("recommend", "evidence", "inspection", "transferability", "experiment", "evaluation", "figures")),
    ("arrays in, arrays out", ("similarity", "training", "datasets", "networks", "statistics", "images")),
    ("below all rooms", ("results", "errors", "paths")),  # modules that every room may import
)  # fmt: skip


def storeys() -> list[tuple[str, dict[str, dict[str, str]]]]:
    """Return the title of each storey, and of each of its rooms the modules with the first line of their docstrings."""
    return [(title, {room: _modules(room) for room in rooms}) for title, rooms in STOREYS]


def _modules(room: str) -> dict[str, str]:
    files = sorted((LIBRARY / room).rglob("*.py")) or [LIBRARY / f"{room}.py"]
    names = {".".join(f.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__"): f for f in files}
    texts = {name: ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) for name, file in names.items()}
    return {name: text.partition("\n")[0] for name, text in texts.items() if text}
