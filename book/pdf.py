"""Prints the chapters of a built book as one PDF: joined into one HTML page, which Chromium prints.

Usage: .venv/bin/python book/pdf.py [demo]. The last line printed is the path of the PDF.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from bs4 import BeautifulSoup, Tag

from catscans_lib import paths
from catscans_lib.book.assembly import DEMO_PART
from catscans_lib.errors import InputError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PARTS = ("Evidence", "The study", DEMO_PART)  # and the references; runs and the library stay in the HTML book
SCREEN_ONLY = (
    ".headerlink, details, script, .prev-next-footer, .toctree-wrapper, link, style, section:has(> .which-source)"
)


def print_pdf(profile: str) -> Path:
    """Write `_build/<profile>/catscans-<profile>.pdf` from the HTML book; InputError without a built book or Chromium."""
    target = paths.build_dir(profile) / f"catscans-{profile}.pdf"
    printed(chapters(profile), target, "--generate-pdf-document-outline")
    return target


def chapters(profile: str) -> tuple[Path, str]:
    """Return the chapters as one HTML page, and its place; InputError without a built book."""
    html = paths.build_dir(profile) / "_build" / "html"
    if not (html / "index.html").is_file():
        raise InputError(f"Profile '{profile}' has no built book. Run `make book PROFILE={profile}` first.")
    return html / "paper.html", str(joined(html, paths.build_dir(profile) / "source" / "_toc.yml"))


def printed(page: tuple[Path, str], target: Path, *options: str) -> None:
    """Print a page to a PDF."""
    target.unlink(missing_ok=True)
    done = browsed(page, "--no-pdf-header-footer", f"--print-to-pdf={target}", *options)
    if not target.is_file():
        raise RuntimeError(f"Chromium wrote no PDF:\n{done.stderr[-2000:]}")


def browsed(page: tuple[Path, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page (its place and content) in Chromium; InputError without it."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise InputError(f"No browser; tried {', '.join(BROWSERS)}. Install one: apt install chromium.")
    place, content = page
    always = ["--headless", "--disable-gpu", "--virtual-time-budget=60000"]
    always += ["--no-sandbox"] if os.geteuid() == 0 else []
    try:
        place.write_text(content, encoding="utf-8")
        command = [browser, *always, *options, place.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    finally:
        place.unlink(missing_ok=True)


def joined(html: Path, toc: Path) -> BeautifulSoup:
    """Return the chapters of a built book as one HTML page; links between chapters become anchors."""
    content = yaml.safe_load(toc.read_text(encoding="utf-8"))
    study = [chapter["file"] for part in content["parts"] if part["caption"] in PARTS for chapter in part["chapters"]]
    names = [content["root"], *study, "references"]
    whole = BeautifulSoup(_SHELL, "html.parser")
    contents = whole.select_one("#contents")
    for name in names:
        article = _article(html / f"{name}.html", name, names)
        entry = whole.new_tag("a", href=f"#{name}")
        entry.string = article.find("h1").get_text()
        contents.append(entry)
        whole.body.append(article)
    whole.style.string = (paths.root() / "book" / "_paper.css").read_text(encoding="utf-8")
    whole.title.string = whole.body.find("h1", class_=None).get_text()
    whole.find(id=names[0]).insert_after(contents.extract())
    return whole


def _article(path: Path, name: str, names: list[str]) -> Tag:
    """Return the text of a page without what only a screen shows, with ids that are unique in the joined page.

    A folded table leaves its caption, to which links lead.
    """
    whole = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    article = whole.find("article")
    for table in article.select("details table:has(.caption-number)"):
        left = whole.new_tag("p", id=table["id"])
        left.string = "".join(part.get_text() for part in table.select("caption > span")) + " (Table in the HTML book.)"
        table.find_parent("details").insert_before(left)
    for node in article.select(SCREEN_ONLY):
        node.decompose()
    for node in article.find_all(id=True):
        node["id"] = f"{name}--{node['id']}"
    for link in article.find_all("a", href=True):
        page, _, anchor = link["href"].partition("#")
        target = page.removesuffix(".html") or name
        if target in names:
            link["href"] = f"#{target}--{anchor}" if anchor else f"#{target}"
        elif "://" not in page and not page.startswith("mailto:"):
            del link["href"]  # to a page that is not printed
    article["id"] = name
    return article


_SHELL = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title></title>
<script>window.MathJax = {options: {processHtmlClass: "math", ignoreHtmlClass: "page"}, startup: {typeset: true}};</script>
<script src="scripts/mathjax.js"></script><style></style></head>
<body class="page"><nav id="contents"><h2>Contents</h2></nav></body></html>"""


if __name__ == "__main__":
    try:
        print(paths.relative(print_pdf(*sys.argv[1:] or ["demo"])))
    except InputError as error:
        sys.exit(f"{error}")
