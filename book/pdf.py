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
SCREEN_ONLY = ".headerlink, details, script, .prev-next-footer, .toctree-wrapper, link, style"


def print_pdf(profile: str) -> Path:
    """Write `_build/<profile>/catscans-<profile>.pdf` from the HTML book; InputError without a built book or Chromium."""
    html = paths.build_dir(profile) / "_build" / "html"
    if not (html / "index.html").is_file():
        raise InputError(f"Profile '{profile}' has no built book to print. Run `make book PROFILE={profile}` first.")
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise InputError(f"No browser to print with; tried {', '.join(BROWSERS)}. Install one: apt install chromium.")
    page, target = html / "paper.html", paths.build_dir(profile) / f"catscans-{profile}.pdf"
    try:
        page.write_text(str(joined(html, paths.build_dir(profile) / "source" / "_toc.yml")), encoding="utf-8")
        _print(browser, page, target)
    finally:
        page.unlink(missing_ok=True)
    return target


def _print(browser: str, page: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", "--generate-pdf-document-outline"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [browser, *options, "--virtual-time-budget=60000", f"--print-to-pdf={target}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if not target.is_file():
        raise RuntimeError(f"{Path(browser).name} wrote no PDF:\n{done.stderr[-2000:]}")


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
    """Return the text of a page without what only a screen shows, with ids that are unique in the joined page."""
    article = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").find("article")
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
