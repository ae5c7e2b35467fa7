"""The built book in a browser without a network. Slow; needs Chromium, and npm for the accessibility rules.

`CATSCANS_TEST_BOOK=_build/demo/_build/html pytest -m slow tests/book/test_browser.py` tests a complete book.
"""

import importlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import small_book
from pypdf import PdfReader

from catscans_lib import book
from catscans_lib.figures import save

pytestmark = pytest.mark.slow
sys.path.insert(0, str(small_book.ROOT / "book"))
pdf, epub, figures = (importlib.import_module(name) for name in ("pdf", "epub", "figures"))
sys.path.pop(0)
AXE = "axe-core@4.10.3"
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
HARMLESS = ("invalid theme mode",)  # a message of the theme when it is first opened


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """Return the folder of a built book."""
    if given := os.environ.get("CATSCANS_TEST_BOOK"):
        return Path(given).resolve()
    folder = tmp_path_factory.mktemp("project")
    small_book.make(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(folder))
        small_book.add_results("demo")
        small_book.add_similarity("demo")
        return book.build("demo").parent


@pytest.fixture(scope="module")
def browser():
    path = next((found for name in pdf.BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs Chromium (apt install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which the dev packages hold")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, html):
    """Return a function that opens a page offline; `page.wrong` collects external requests, failures and errors."""
    contexts = []

    def open_page(name, *, size=WIDE, scheme="light"):
        context = browser.new_context(viewport=size, color_scheme=scheme)
        context.route("http*://**", lambda route: route.abort())
        contexts.append(context)
        page = context.new_page()
        page.wrong = []
        page.on("request", lambda request: _note(page, request.url.startswith("http"), f"asked for {request.url}"))
        page.on("requestfailed", lambda request: _note(page, True, f"failed: {request.url} {request.failure}"))
        page.on("console", lambda message: _note(page, message.type == "error", message.text))
        page.on("pageerror", lambda error: _note(page, True, str(error)))
        page.goto((html / f"{name}.html").as_uri() if "?" not in name else f"{html.as_uri()}/{name}")
        page.wait_for_load_state("load")
        return page

    yield open_page
    for context in contexts:
        context.close()


def _note(page, is_wrong, text):
    if is_wrong and not any(words in text for words in HARMLESS):
        page.wrong.append(text)


def pages(html):
    """Return all pages of a book, but only the first run of each step, dataset and room."""
    found = sorted(path.relative_to(html) for path in html.rglob("*.html") if "_static" not in path.parts)
    kinds = {path.parent if len(path.parts) > 1 else path: path for path in reversed(found)}
    return [path.with_suffix("").as_posix() for path in kinds.values()]


def test_no_page_sends_external_requests_or_fails_to_load_a_file_or_is_wider_than_a_telephone(visit, html):
    for name in pages(html):
        page = visit(name, size=PHONE)
        page.wait_for_timeout(300)
        assert page.wrong == [], name
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{name} is {over} px too wide"


def test_equations_are_rendered_numbered_and_referred_to(visit):
    page = visit("methods")
    page.wait_for_selector("div.math mjx-container svg")
    assert page.locator("div.math mjx-container svg").count() >= 6
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert page.locator(".eqno").first.inner_text().startswith("(1)")
    assert page.locator("a.reference[href='#equation-eq-auc']").first.inner_text() == "(1)"


def test_search_finds_a_word_of_a_chapter(visit):
    page = visit("search.html?q=baseline")
    page.wait_for_selector("#search-results li a[href*='methods.html']")
    page.wait_for_function("/found \\d+ page/.test(document.querySelector('#search-results').innerText)")
    links = page.locator("#search-results li a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    is_run = [link.startswith(("runs/", "datasets/")) for link in links]
    assert is_run == sorted(is_run) and not is_run[0]  # chapters first
    page.wait_for_selector("#search-results li p.context")
    assert "baseline" in page.locator("#search-results li p.context").first.inner_text().lower()
    assert page.wrong == []


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """Return the script of the accessibility rules, from npm."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm, to fetch axe-core")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(["npm", "pack", AXE], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {AXE}: {done.stderr[-300:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_accessibility_violation(visit, html, axe, scheme):
    for name in pages(html):
        page = visit(name, scheme=scheme)
        page.wait_for_timeout(300)
        page.wait_for_function("document.getAnimations().length === 0")  # colours fade in
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
        assert [(fault["id"], fault["nodes"][:3]) for fault in serious] == [], name


@pytest.fixture
def printable(html, browser, monkeypatch):
    if "CATSCANS_TEST_BOOK" in os.environ:
        pytest.skip("prints the small book only")
    monkeypatch.setenv("CATSCANS_ROOT", str(html.parents[3]))


def test_the_chapters_are_printed_as_a_pdf(html, printable):
    printed = PdfReader(pdf.print_pdf("demo"))
    assert len(printed.pages) >= 10
    contents = next(page.extract_text() for page in printed.pages if "Contents" in page.extract_text())
    chapters = [one.title for one in printed.outline if not isinstance(one, list)]
    assert len(chapters) > 5 and all(title in contents for title in chapters)
    assert not (html / "paper.html").exists()


def test_a_folded_table_leaves_its_caption_in_print_and_links_lead_there(tmp_path):
    number, text = "<span class='caption-number'>Table 7 </span>", "<span class='caption-text'>Scores.</span>"
    table = f"<table id='tab-a'><caption>{number}{text}</caption><tr><td>0.5</td></tr></table>"
    page = f"<article><h1>A</h1><p><a href='#tab-a'>Table 7</a></p><details>{table}</details></article>"
    (tmp_path / "a.html").write_text(page)
    article = pdf._article(tmp_path / "a.html", "a", ["a"])
    assert article.find(id="a--tab-a").get_text() == "Table 7 Scores. (Table in the HTML book.)"
    assert article.find("a")["href"] == "#a--tab-a" and "0.5" not in article.get_text()


def test_the_chapters_are_an_epub_of_well_formed_pages_whose_links_lead_somewhere(printable):
    made = epub.write("demo")
    with zipfile.ZipFile(made) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert next(iter(files.items())) == ("mimetype", b"application/epub+zip")
    pages = {name: ElementTree.fromstring(content) for name, content in files.items() if name.endswith(".xhtml")}
    ids = {f"{name}#{node.get('id')}" for name, page in pages.items() for node in page.iter() if node.get("id")}
    links = [node.get("href") for page in pages.values() for node in page.iter() if node.tag.endswith("}a")]
    assert {link for link in links if "://" not in link} <= ids | set(files)
    assert {node.get("src") for page in pages.values() for node in page.iter() if node.get("src")} <= set(files)
    assert any(node.tag.endswith("MathML}mfrac") for node in pages["methods.xhtml"].iter())
    assert epub.write("demo").read_bytes() == made.read_bytes()


def test_every_figure_is_in_one_zip_as_svg_and_as_pdf_of_its_size_with_its_numbers(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    (tmp_path / "_build/demo").mkdir(parents=True)
    for name, size in {"wide": (6, 2), "tall": (3, 7)}.items():
        figure, ax = plt.subplots(figsize=size)
        ax.plot([1, 3, 2])
        save(
            figure, tmp_path / "results/demo/evaluate/all/figures", name, pd.DataFrame({"a": [1, 3, 2]}), is_demo=False
        )
    with zipfile.ZipFile(figures.write("demo")) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert set(files) == {f"evaluate/all/{name}.{kind}" for name in ("wide", "tall") for kind in ("svg", "pdf", "csv")}
    for name in ("wide", "tall"):
        (page,) = PdfReader(io.BytesIO(files[f"evaluate/all/{name}.pdf"])).pages
        width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', files[f"evaluate/all/{name}.svg"].decode())[:2]
        assert (float(page.mediabox.width), float(page.mediabox.height)) == pytest.approx(
            (float(width), float(height)), abs=1
        )
