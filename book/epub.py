"""Writes the chapters of a built book as an EPUB, for e-readers: the pages that `make pdf` prints, formulas as MathML.

Usage: .venv/bin/python book/epub.py [demo]. The last line printed is the path of the EPUB. The same book gives the same bytes.
"""

import hashlib
import json
import sys
import zipfile
from html import escape
from pathlib import Path

import pdf
from bs4 import BeautifulSoup, Tag

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.sharing import archives

TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".css": "text/css", ".xhtml": "application/xhtml+xml"}
OLD = ("align", "border", "frame", "rules", "valign")  # attributes that XHTML 5 no longer has
CONTAINER = """<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><{0}>
<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></{0}></container>""".format("rootfiles")
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">
<head><title>%s</title><link rel="stylesheet" type="text/css" href="book.css"/></head><body>%s</body></html>"""


def write(profile: str) -> Path:
    """Write `_build/<profile>/catscans-<profile>.epub` from the HTML book; InputError without a built book or Chromium."""
    folder = paths.build_dir(profile)
    html, target = folder / "_build" / "html", folder / f"catscans-{profile}.epub"
    whole = BeautifulSoup(pdf.browsed(pdf.chapters(profile), "--dump-dom").stdout, "html.parser")
    articles = {article["id"]: article for article in whole.select("body > article")}
    ids = {node["id"] for node in whole.find_all(id=True)}
    files = {f"{name}.xhtml": _page(article, ids) for name, article in articles.items()}
    pictures = {image["src"] for article in articles.values() for image in article.find_all("img")}
    files |= {
        "book.css": (paths.root() / "book" / "_epub.css").read_bytes(),
        **{name: (html / name).read_bytes() for name in sorted(pictures)},
    }
    titles = {f"{name}.xhtml": article.find("h1").get_text() for name, article in articles.items()}
    entries = "".join(f'<li><a href="{name}">{escape(title)}</a></li>' for name, title in titles.items())
    nav = f'<nav epub:type="toc"><h1>Contents</h1><ol>{entries}</ol></nav>'
    files["nav.xhtml"] = (PAGE % ("Contents", nav)).encode()
    files |= {"book.opf": _package(files, list(titles), html), "META-INF/container.xml": CONTAINER.encode()}
    with paths.atomic_write(target) as part, zipfile.ZipFile(part, "w") as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), "application/epub+zip")  # first, and not compressed
        for name, content in files.items():
            archives.add_file(archive, name, content)
    return target


def _page(article: Tag, ids: set[str]) -> bytes:
    """Return a chapter as XHTML."""
    for formula in article.find_all("mjx-container"):
        formula.replace_with(formula.find("math").extract())
    for node in article.find_all(True):
        for name in OLD:
            del node[name]
        if node.get("role") == "doc-biblioentry":  # deprecated
            del node["role"]
    for node in article.select(".legend"):
        node.decompose()  # links to files that are not in the EPUB
    for link in article.find_all("a"):
        href = link.get("href", "#")
        if href.startswith("#") and href[1:] not in ids:
            link.unwrap()
        elif href.startswith("#"):
            link["href"] = f"{href[1:].split('--')[0]}.xhtml" + (href if "--" in href else "")
    return (PAGE % (escape(article.find("h1").get_text()), article)).encode()


def _package(files: dict[str, bytes], order: list[str], html: Path) -> bytes:
    """Return the list of the EPUB's files with title, authors and date."""
    cited = json.loads((html / "_static" / "cite-data.js").read_text(encoding="utf-8").split("=", 1)[1].strip(" ;\n"))
    digest = hashlib.sha256(b"".join(files.values())).hexdigest()
    kinds = {name: TYPES[Path(name).suffix] for name in files}
    special = {"nav.xhtml": ' properties="nav"'} | {
        name: ' properties="mathml"' for name, content in files.items() if b"<math" in content
    }
    items = "".join(
        f'<item id="f{i}" href="{name}" media-type="{kinds[name]}"{special.get(name, "")}/>'
        for i, name in enumerate(files)
    )
    spine = "".join(f'<itemref idref="f{list(files).index(name)}"/>' for name in order)
    creators = "".join(f"<dc:creator>{escape(one)}</dc:creator>" for one in cited["authors"].split(" and "))
    return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">urn:sha256:{digest}</dc:identifier>
<dc:title>{escape(cited["title"])}</dc:title><dc:language>en</dc:language>{creators}<dc:date>{cited["date"]}</dc:date>
<meta property="dcterms:modified">{cited["date"]}T00:00:00Z</meta></metadata>
<manifest>{items}</manifest><spine>{spine}</spine></package>""".encode()


if __name__ == "__main__":
    try:
        print(paths.relative(write(*sys.argv[1:] or ["demo"])))
    except InputError as error:
        sys.exit(f"{error}")
