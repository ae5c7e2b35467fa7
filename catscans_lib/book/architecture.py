"""The drawing of the library's rooms: boxes in three storeys, arrows for the imports between them, read from the code."""

import ast
import io
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve

from catscans_lib.book.reference import BASE, LIBRARY, STOREYS

PLACE = "figures/rooms.svg"  # in the book
COLOURS = ("#0072B2", "#009E73", "#D55E00")  # of the storeys, from top to bottom
WIDTH, HEIGHT = 0.84, 0.2  # of a box; rooms of a storey are 1 apart, storeys 1.5
Place = tuple[float, float]


def imports() -> Counter[tuple[str, str]]:
    """Return, for each pair of rooms, the number of modules of the first that import the second."""
    rooms = {room for _, of_storey in STOREYS for room in of_storey}
    return Counter(
        (room, other)
        for room in sorted(rooms)
        for file in sorted((LIBRARY / room).rglob("*.py"))
        for other in set(_imported(file)) & rooms - {room}
    )


def _imported(file: Path) -> Iterator[str]:
    """Yield the entry of the library behind every import in a file, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == LIBRARY.name:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{LIBRARY.name}."):
            yield node.module.split(".")[1]


def drawing() -> bytes:
    """Return the drawing as SVG; the same code gives the same bytes."""
    counts = imports()
    places = _places(counts)
    figure = Figure(figsize=(10, 7.4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.6, 6.6), ylim=(-1.0, 4.05))
    axes.axis("off")
    for number, ((title, rooms), colour) in enumerate(zip(STOREYS, COLOURS, strict=True)):
        _band(axes, 3 - 1.5 * number, f"storey {3 - number}: {title}", colour)
        for room in rooms:
            _box(axes, places[room], room, colour)
    for pair, count in counts.items():
        _arrow(axes, *(places[room] for room in pair), count)
    axes.text(3, -0.78, f"{', '.join(BASE)}: all rooms may import them", ha="center", va="center", fontsize=10)
    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "catscans", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _places(counts: Counter[tuple[str, str]]) -> dict[str, Place]:
    """Put the rooms of a storey side by side, each to the left of the rooms that it imports."""
    places = {}
    for number, (_, rooms) in enumerate(STOREYS):
        inside = {room: [other for one, other in counts if one == room and other in rooms] for room in rooms}
        order = [*TopologicalSorter(inside).static_order()][::-1]
        for column, room in enumerate(order):
            places[room] = (column + (7 - len(rooms)) / 2, 3 - 1.5 * number)
    return places


def _band(axes: Axes, y: float, title: str, colour: str) -> None:
    axes.axhspan(y - 0.3, y + 0.95, facecolor=colour, alpha=0.07, linewidth=0, zorder=0)
    axes.text(-0.5, y + 0.82, title, color=colour, fontsize=11, fontweight="bold", va="center")


def _box(axes: Axes, place: Place, room: str, colour: str) -> None:
    corner = (place[0] - WIDTH / 2, place[1] - HEIGHT / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner, WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.05", fc="white", ec=colour, lw=1.6, zorder=3
        )
    )
    axes.text(*place, room, ha="center", va="center", fontsize=10.5, zorder=4)


def _arrow(axes: Axes, start: Place, end: Place, count: int) -> None:
    """Draw an arc above the boxes within a storey, a curve from bottom to top between storeys."""
    (x0, y0), (x1, y1) = start, end
    colour = COLOURS[round((3 - y0) / 1.5)]
    if y0 == y1:
        x0, x1, height = x0 + 0.12, x1 - 0.12, 0.2 + 0.13 * abs(x1 - x0)
        points = [
            (x0, y0 + HEIGHT / 2),
            (x0, y0 + HEIGHT / 2 + height),
            (x1, y1 + HEIGHT / 2 + height),
            (x1, y1 + HEIGHT / 2),
        ]
    else:
        points = [(x0, y0 - HEIGHT / 2), (x0, y0 - 0.7), (x1, y1 + 0.7), (x1, y1 + HEIGHT / 2)]
    curve = Curve(points, [Curve.MOVETO, *[Curve.CURVE4] * 3])
    axes.add_patch(
        FancyArrowPatch(
            path=curve,
            arrowstyle="-|>",
            mutation_scale=8,
            color=colour,
            lw=0.5 + 0.45 * count,
            alpha=0.55,
            fc=colour,
            zorder=2,
            fill=False,
        )
    )
