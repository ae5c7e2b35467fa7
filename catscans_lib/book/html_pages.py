"""What is mended in the pages that Sphinx has written: they get lighter, and name no script of another host."""

import re
from pathlib import Path

import nbformat

THEBE = re.compile(r"""[ \t]*<(?:script|link)\b[^>]*(?:sphinx-thebe\.|>const THEBE_JS_URL)[^\n]*\n""")
CHANGES = (
    (THEBE, ""),  # runs code on another host, at a click on a button that this book has not; the theme writes it twice
    (
        re.compile(r'<div role="list" class="citation-list">'),
        '<div class="citation-list">',
    ),  # its entries are no list items
)


def finish(html: Path) -> None:
    """Mend the pages of a built book in place; a second time changes nothing.

    Outputs leave the notebooks that one may download (the pages show them, and a notebook is taken to be run again), and
    so do the maps of minified scripts. Demo: 63 MB before, 55 MB after with MathJax, examples and the library in it.
    """
    for path in html.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        mended = page(text)
        if mended != text:
            path.write_text(mended, encoding="utf-8")
    for path in (html / "_sources").rglob("*.ipynb"):
        _without_outputs(path)
    for path in (html / "_static").rglob("*.map"):
        path.unlink()


def page(text: str) -> str:
    """Return a page without what it does not need, and with what it should have said.

    >>> page('  <script async="async" src="_static/sphinx-thebe.js?v=1"></script>\\n<p>')
    '<p>'
    """
    for pattern, instead in CHANGES:
        text = pattern.sub(instead, text)
    return text


def _without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    shown = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    for cell in shown:
        cell.outputs = []
    if shown:
        nbformat.write(notebook, path)
