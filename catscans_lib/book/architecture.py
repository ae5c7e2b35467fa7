"""The rooms of the library as the code has them: their drawing, and the library reference that autodoc fills."""

import ast
import io
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from catscans_lib.book.templates import template
from catscans_lib.runs import code_scope

LIBRARY = Path(__file__).parents[1]
STOREYS = (  # from top to bottom; the contracts in pyproject.toml enforce them
    ("running things", ("cli", "book", "sharing", "sweep", "runs", "grid")),
    ("answering questions", ("recommend", "evidence", "inspection", "transferability", "experiment", "evaluation", "figures")),
    ("arrays in, arrays out", ("similarity", "training", "datasets", "networks", "statistics", "images")),
)  # fmt: skip
BASE = ("below all rooms", ("results", "errors", "paths"))  # modules that every room may import
COLOURS = ("#0072B2", "#009E73", "#D55E00")  # of the storeys, from top to bottom
DRAWING = "figures/rooms.svg"  # in the book


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
    """Return the chapter on the architecture with its drawing, and the library reference.

    The reference is an overview and a page per room of the two lower storeys.
    """
    packages = {room: next(iter(modules(room).items())) for _, of_storey in (*STOREYS, BASE) for room in of_storey}
    rooms = {room: modules(room) for room in ("results", *(room for _, of_storey in STOREYS[1:] for room in of_storey))}
    chapter, reference, page = (template(name, ()) for name in ("architecture.md", "library.md", "_library.md"))
    made = {f"library/{room}.md": page.render(room=room, modules=of) for room, of in rooms.items()}
    made["architecture.md"] = chapter.render(storeys=STOREYS, base=BASE, packages=packages, drawing=DRAWING)
    made["library.md"] = reference.render(rooms=rooms, profile=profile)
    return {place: text.encode() for place, text in made.items()} | {DRAWING: drawing()}


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


def imports() -> Counter[tuple[str, str]]:
    """Return, for each pair of rooms, the number of modules of the first that import the second."""
    rooms = {room for _, of_storey in STOREYS for room in of_storey}
    return Counter(
        (parts[0], other)
        for parts, tree in _parsed().items()
        if parts[0] in rooms
        for other in sorted({name.split(".")[1] for name in code_scope.imports(tree)} & rooms - {parts[0]})
    )


def drawing() -> bytes:
    """Return the rooms in their storeys with arrows for their imports, as SVG; the same code gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.8, 6.4), layout="none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.55, 6.55), ylim=(-0.75, 3.95))
    axes.axis("off")
    places = {}
    for number, ((title, rooms), colour) in enumerate(zip(STOREYS, COLOURS, strict=True)):
        level = 2.8 - 1.4 * number
        axes.axhspan(level - 0.3, level + 1.1, facecolor=colour, alpha=0.07, linewidth=0)
        axes.text(-0.45, level + 0.95, f"storey {3 - number}: {title}", color=colour, fontweight="bold")
        for column, room in enumerate(rooms):
            places[room] = (column + (7 - len(rooms)) / 2, level)
            box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": colour, "linewidth": 1.6}
            axes.text(*places[room], room, ha="center", va="center", fontsize=10.5, bbox=box, zorder=4)
    for (room, other), n_modules in imports().items():
        colour = next(colour for (_, rooms), colour in zip(STOREYS, COLOURS, strict=True) if room in rooms)
        (x0, y0), (x1, y1), edge = places[room], places[other], 0.12  # half the height of a box
        start, bend = (
            (y0 + edge, 0.3 if x1 < x0 else -0.3) if y0 == y1 else (y0 - edge, 0)
        )  # an arc above the boxes, or a line
        look = {
            "arrowstyle": "-|>",
            "connectionstyle": f"arc3,rad={bend}",
            "color": colour,
            "mutation_scale": 7,
            "fill": False,
        }
        look |= {"linewidth": 0.9 * n_modules**0.5, "alpha": 0.55 if y0 == y1 else 0.35}
        axes.annotate("", (x1, y1 + edge), (x0, start), arrowprops=look, zorder=2)
    axes.text(3, -0.55, f"{', '.join(BASE[1])}: all rooms may import these modules", ha="center")
    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "catscans", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
