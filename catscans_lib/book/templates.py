"""Functions that the chapters' templates call: printed numbers, links, and figures with caption, numbers and provenance."""

import re
import traceback
from collections.abc import Collection, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.sweep.plan import duration

DEMO_NOTE = "DEMO: made-up images, not a medical result"


@cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {function.__name__: function for function in (number, code, duration, listed, linked)}
    environment.globals["demo_note"] = DEMO_NOTE
    environment.filters["signed"] = lambda value, digits=3: number(value, digits, "+")
    return environment


def rendered(name: str, staged: Iterable[str] = (), /, **context: Any) -> str:
    """Return a chapter of `book/` with its numbers; a figure that is not in `staged`, the book's files, is left out.

    InputError with file and line where the template is faulty.
    """
    there = set(staged)
    given = {"figure": partial(figure, there), "numbered": partial(numbered, there), "staged": there}
    try:
        return _environment(paths.root() / "book").get_template(name, globals=given).render(context)
    except jinja2.TemplateSyntaxError as error:  # also of a chapter that includes it
        place, problem = f"book/{error.name}, line {error.lineno}", error.message
    except Exception as error:  # an unknown name, or a filter or method that a value does not have
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".md")]
        if not lines:
            raise
        place = f"book/{Path(lines[-1].filename).name}, line {lines[-1].lineno}"
        problem = f"{type(error).__name__}: {error}"
    raise InputError(f"The chapter {place}, cannot be written: {problem}. Correct it, or restore it from git.")


def number(value: float, digits: int = 3, sign: str = "") -> str:
    """Return a number with `digits` decimals and a typographic minus sign; a dash for NaN.

    >>> number(0.8765), number(-0.01, 2, "+"), number(float("nan"))
    ('0.876', '−0.01', '–')
    """
    return "–" if value != value else f"{value:{sign}.{digits}f}".replace("-", "−")


def linked(text: str, page: str) -> str:
    """Return text as a link to a page of the book; unchanged if `page` is empty."""
    return f"[{text}]({page})" if page else text


def code(text: Any) -> str:
    """Return text as inline code that is safe in a table: paths and messages are data, not Markdown."""
    return "`" + re.sub(r"\s+", " ", str(text)).replace("`", "'").replace("|", r"\|") + "`"


def listed(words: Iterable[str]) -> str:
    """Return words as an enumeration: "a, b and c"."""
    *first, end = words
    return f"{', '.join(first)} and {end}" if first else end


def plain(text: str) -> str:
    """Return a line of Markdown without its markup.

    >>> plain("*p* of {cite}`holm1979`, [the run](a.md) of `x`")
    'p of holm1979, the run of x'
    """
    text = re.sub(r"\{[\w:]+\}`([^`<]*?)(?: <[^>]*>)?`", r"\1", text)
    return re.sub(r"[*`]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))


def figure_label(step: str, name: str, stem: str) -> str:
    """Return the label of a figure for cross-references, such as fig-evaluate-summary-fine-tune."""
    parts = [step, *([] if name == "all" else [name]), stem]
    return "fig-" + "-".join(parts).replace("_", "-")


def figure(
    staged: Collection[str], step: str, name: str, stem: str, caption: str, alt: str = "", label: str = ""
) -> str:
    """Return a figure with caption, numbers and provenance; "" if the run did not make it."""
    place = f"figures/{step}/{name}/{stem}"
    if f"{place}.svg" not in staged:
        return ""
    links = [f"numbers: {{download}}`{stem}.csv </{place}.csv>`"] if f"{place}.csv" in staged else []
    if (page := f"runs/{step}/{name}.ipynb") in staged:
        links.append(f"made in [this run](/{page})")
    if (notebook := f"notebooks/{step}.ipynb") in staged:
        links.append(f"of {{download}}`{step}.ipynb </{notebook}>`")
    origin = f"{', '.join(links)}.".replace(", of ", " of ") if links else ""
    options = f":name: {label or figure_label(step, name, stem)}\n:alt: {alt or plain(caption)}"
    return f":::{{figure}} /{place}.svg\n{options}\n\n{caption}\n\n{origin[:1].upper()}{origin[1:]}\n:::\n"


def numbered(staged: Collection[str], step: str, name: str, stem: str) -> str:
    """Return a link with the number of a figure ("Fig. 3"); "" if the run did not make it."""
    exists = f"figures/{step}/{name}/{stem}.svg" in staged
    return f"{{numref}}`{figure_label(step, name, stem)}`" if exists else ""
