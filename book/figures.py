"""Writes every figure of a profile as SVG and PDF, with its numbers as CSV, into one zip. Chromium prints the PDFs.

Usage: .venv/bin/python book/figures.py [demo]. The last line printed is the path of the zip. The same results and the same
Chromium give the same bytes.
"""

import io
import re
import sys
import tempfile
import zipfile
from pathlib import Path

import pdf
from pypdf import PageObject, PdfReader, PdfWriter

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.sharing import archives


def write(profile: str) -> Path:
    """Write `_build/<profile>/figures-<profile>.zip`; InputError without figures or Chromium."""
    results, target = paths.results_dir(profile), paths.build_dir(profile) / f"figures-{profile}.zip"
    figures = sorted(results.glob("*/[!.]*/figures/*.svg"))
    if not figures:
        raise InputError(f"Profile '{profile}' has no figures. Run `make book PROFILE={profile}` first.")
    with paths.atomic_write(target) as part, zipfile.ZipFile(part, "w") as archive:
        for figure, page in zip(figures, _printed(figures), strict=True):
            name = figure.relative_to(results).as_posix().replace("/figures/", "/")
            archives.add_file(archive, name, figure)
            archives.add_file(archive, name.replace(".svg", ".pdf"), page)
            if (table := figure.with_suffix(".csv")).is_file():
                archives.add_file(archive, name.replace(".svg", ".csv"), table)
    return target


def _printed(figures: list[Path]) -> list[bytes]:
    """Return one PDF for each SVG: a page of its size."""
    texts = [figure.read_text(encoding="utf-8") for figure in figures]
    sizes = [re.findall(r'(?:width|height)="([\d.]+)pt"', text)[:2] for text in texts]
    rules = "".join(
        f"@page p{i} {{size: {w}pt {h}pt; margin: 0}} #p{i} {{page: p{i}; width: {w}pt; height: calc({h}pt - 1px)}}"
        for i, (w, h) in enumerate(sizes)
    )
    images = "".join(f'<div id="p{i}"><img src="{figure.as_uri()}"></div>' for i, figure in enumerate(figures))
    style = f"body {{margin: 0}} div {{overflow: hidden}} img {{display: block; width: 100%}} {rules}"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "figures.pdf"
        pdf.printed((Path(folder) / "figures.html", f"<!doctype html><style>{style}</style>{images}"), target)
        return [_single(page) for page in PdfReader(target).pages]


def _single(page: PageObject) -> bytes:
    """Return a PDF of one page without a date."""
    writer, content = PdfWriter(), io.BytesIO()
    writer.add_page(page)
    writer.metadata = None
    writer.write(content)
    return content.getvalue()


if __name__ == "__main__":
    try:
        print(paths.relative(write(*sys.argv[1:] or ["demo"])))
    except InputError as error:
        sys.exit(f"{error}")
