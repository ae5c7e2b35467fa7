"""What the chapters' templates can call: numbers as one prints them, figures with numbers, origin and words for the blind."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import jinja2

from catscans_lib import paths

DEMO_NOTE = "DEMO: made-up images, not a medical result"


def template(name: str, staged: Iterable[str]) -> jinja2.Template:
    """Return a chapter of `book/` as a template.

    Parameters
    ----------
    staged : iterable of str
        Places of the files that the book has besides its chapters: a figure that is not among them is left out.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.root() / "book"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "signed": lambda x, n=3: number(x, n, "+"), "code": code, "clock": clock}
    environment.filters |= {"listed": listed, "plain": plain, "linked": linked}
    here = set(staged)
    environment.globals |= {"figure": _figure_in(here), "numbered": _numbered_in(here), "staged": here}
    environment.globals |= {"demo_note": DEMO_NOTE}
    return environment.get_template(name)


def number(value: float, digits: int = 3, sign: str = "") -> str:
    """Return a number with so many digits after the point; a dash for NaN, a true minus sign.

    >>> number(0.8765), number(-0.01, 2, "+"), number(float("nan"))
    ('0.876', '−0.01', '–')
    """
    return "–" if value != value else f"{value:{sign}.{digits}f}".replace("-", "−")


def linked(text: str, page: str) -> str:
    """Return text as a link to a page of the book; as it is where there is none.

    >>> linked("0.919", "runs/transfer/dtd--chest.ipynb"), linked("0.919", "")
    ('[0.919](runs/transfer/dtd--chest.ipynb)', '0.919')
    """
    return f"[{text}]({page})" if page else text


def clock(seconds: float) -> str:
    """Return a duration as people say it.

    >>> clock(7.25), clock(95), clock(7300)
    ('7.2 s', '1 min 35 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def code(text: Any) -> str:
    """Return text as inline code that may stand in a table: paths and messages are data, not Markdown."""
    return "`" + re.sub(r"\s+", " ", str(text)).replace("`", "'").replace("|", r"\|") + "`"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Return words as a list within a sentence.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


def plain(text: str) -> str:
    """Return a line of Markdown without its marks.

    >>> plain("*p* of {cite}`holm1979`, [the run](a.md) of `x`")
    'p of holm1979, the run of x'
    """
    text = re.sub(r"\{[\w:]+\}`([^`<]*?)(?: <[^>]*>)?`", r"\1", text)
    return re.sub(r"[*`]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))


def figure_label(step: str, name: str, stem: str) -> str:
    """Return the label by which chapters refer to a figure.

    >>> figure_label("evaluate", "all", "auc_heatmap_fine_tune"), figure_label("similarity", "chest", "ranks")
    ('fig-evaluate-auc-heatmap-fine-tune', 'fig-similarity-chest-ranks')
    """
    parts = [step, *([] if name == "all" else [name]), stem]
    return "fig-" + "-".join(parts).replace("_", "-")


def _figure_in(staged: set[str]) -> Callable[..., str]:
    """Return a function for chapters: the figure with its caption, numbers and origin, or nothing when it was not made."""

    def figure(step: str, name: str, stem: str, caption: str, alt: str = "", label: str = "") -> str:
        place = f"figures/{step}/{name}/{stem}"
        image = _image(staged, place)
        if image is None:
            return ""
        origin = []
        if f"{place}.csv" in staged:
            origin.append(f"numbers: {{download}}`{stem}.csv </{place}.csv>`")
        if (page := f"runs/{step}/{name}.ipynb") in staged:
            origin.append(f"made in [this run](/{page})")
        if (notebook := f"notebooks/{step}.ipynb") in staged:
            origin.append(f"of {{download}}`{step}.ipynb </{notebook}>`")
        options = f":name: {label or figure_label(step, name, stem)}\n:alt: {alt or plain(caption)}"
        return f":::{{figure}} /{image}\n{options}\n\n{caption}\n\n{_sentence(origin)}\n:::\n"

    return figure


def _numbered_in(staged: set[str]) -> Callable[..., str]:
    """Return a function for chapters: a link with the number of a figure ("Fig. 3"), or nothing when it was not made."""

    def numbered(step: str, name: str, stem: str) -> str:
        is_there = _image(staged, f"figures/{step}/{name}/{stem}")
        return f"{{numref}}`{figure_label(step, name, stem)}`" if is_there else ""

    return numbered


def _image(staged: set[str], place: str) -> str | None:
    return next((f"{place}.{kind}" for kind in ("svg", "png") if f"{place}.{kind}" in staged), None)


def _sentence(parts: list[str]) -> str:
    text = ", ".join(parts).replace(", of ", " of ")
    return f"{text[:1].upper()}{text[1:]}." if text else ""
