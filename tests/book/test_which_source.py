"""The table "Which source at my number of images?" with its script, in a browser without a network; needs Chromium."""

import shutil

import pytest
import small_book

from catscans_lib.book import templates

pytestmark = pytest.mark.slow
ROWS = [
    {"target_title": "Chest", "source_title": source, "mode": "fine_tune", "n_train": n, "auc": auc}
    | {"low": auc - 0.05, "high": auc + 0.05}
    for n, aucs in ((20, (0.9, 0.7)), (200, (0.91, 0.93)), (float("nan"), (0.95, 0.99)))
    for source, auc in zip(("ImageNet", "Textures"), aucs, strict=True)
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which the dev packages hold")
    if path is None:
        pytest.skip("needs Chromium (apt install chromium)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(small_book.ROOT))
        part = templates.rendered("_which_source.md", values=ROWS, demo=True)
    file = tmp_path_factory.mktemp("page") / "page.html"
    script = (small_book.ROOT / "book/_static/which_source.js").read_text()
    file.write_text(f"<html><head><meta charset=utf-8><script>{script}</script></head><body>{part}</body></html>")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.goto(file.as_uri())
        yield opened
        browser.close()


def answer(page, images):
    page.get_by_label("Training images").fill(str(images))
    return page.get_by_role("status").inner_text()


def test_the_nearest_size_decides_and_sources_that_are_not_told_apart_say_so(page):
    few = answer(page, 25)
    assert "AUC with 20 training images" in few and few.index("ImageNet: 0.900") < few.index("Textures: 0.700")
    assert "≈" not in few and "no answer" not in few
    more = answer(page, 150)
    assert "AUC with 200 training images" in more and more.index("Textures: 0.930") < more.index("ImageNet: 0.910")
    assert "ImageNet: 0.910 (0.860 to 0.960) ≈" in more and "do not rank the two" in more


def test_numbers_far_from_every_size_are_no_answer_and_large_ones_take_all_images(page):
    assert "Your number is far from it: this is no answer for it." in answer(page, 3)
    assert "AUC with all images" in answer(page, 5000)
    assert answer(page, 0) == "Enter a number of images from 1 on."


def test_it_is_used_with_the_keyboard_alone_and_the_table_stays_as_the_fallback(page):
    page.get_by_label("Target").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "number"
    page.keyboard.press("Control+a")
    page.keyboard.type("25")
    assert "AUC with 20 training images" in page.get_by_role("status").inner_text()
    assert page.locator("details tbody tr").count() == len(ROWS)
