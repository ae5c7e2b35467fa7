"""From a folder as downloaded to a store and folds, with everything that may be wrong in it."""

import json

import fixtures
import numpy as np
import pandas as pd
import tiny
import yaml
from PIL import Image

from catscans_lib.grid import expand
from catscans_lib.images import dicom, folds, store
from catscans_lib.runs import execute, recipe


def test_the_ingest_page_reports_broken_files_by_path_skips_and_counts_them_and_keeps_the_rest(
    native_project, native_data
):
    images = native_data / "ISIC2018/ISIC2018_Task3_Training_Input"
    zero, corrupt, unlisted, absent, *_ = sorted(images.glob("*.jpg"))[2::4]
    zero.write_bytes(b"")
    corrupt.write_bytes(corrupt.read_bytes()[:200])
    absent.unlink()
    unlisted.rename(images / "ISIC_9999999.jpg")
    deep, pages = sorted(images.glob("*.jpg"))[3:5]
    Image.fromarray(np.arange(4000, dtype=np.uint16).reshape(40, 100)).save(deep, "PNG")
    fixtures.picture(0).save(pages, "TIFF", save_all=True, append_images=[fixtures.picture(1)])
    folder = execute.execute(expand.grid("sample")["ingest/isic2018"], "sample")
    problems = pd.read_csv(folder / "problems.csv", keep_default_na=False).set_index("path")["problem"]
    base = "ISIC2018/ISIC2018_Task3_Training_Input"
    assert "empty file" in problems[f"{base}/{zero.name}"]
    assert f"{base}/{corrupt.name}" in problems
    assert "no such file" in problems[f"{base}/{absent.name}"]
    assert "no such file" in problems[f"{base}/{unlisted.name}"]
    record = json.loads((folder / "run.json").read_text())
    assert (record["n_problems"], record["n_images"]) == (4, 28 - 4)
    page = (folder / "ingest.ipynb").read_text()
    assert zero.name in page and "Read in part: 1." in page
    assert record["value_range"] == [0, 3999] and "the values 0 to 3,999 of 1 images" in record["notes"][0]
    lost = pd.read_csv(folder / "losses.csv").values.tolist()
    assert lost == [[f"{base}/{pages.name}", dicom.PAGES.format(n=2)]] and record["n_losses"] == 1
    saved = folds.read(native_project / "results/sample/folds/isic2018.csv")
    assert len(saved) == 24
    assert saved.groupby("group")["fold"].nunique().max() == 1


def test_another_way_to_make_squares_outdates_the_ingest_of_that_dataset_alone_and_changes_its_pixels(native_project):
    def recipes():
        runs = expand.grid("sample")
        return {name: recipe.recipe(runs[f"ingest/{name}"], "sample") for name in ("isic2018", "chest")}

    before, content = recipes(), yaml.safe_load((native_project / "params/sample.yaml").read_text())
    content["datasets"]["isic2018"]["resize"] = "squash"  # as without it
    tiny.write_grid(native_project, content, "sample")
    assert recipes() == before
    content["datasets"]["isic2018"]["resize"] = "pad"
    tiny.write_grid(native_project, content, "sample")
    after = recipes()
    assert after["isic2018"] != before["isic2018"] and after["chest"] == before["chest"]
    execute.execute(expand.grid("sample")["ingest/isic2018"], "sample")
    (path,) = native_project.glob("data/sample/isic2018*.h5")
    assert (store.open_store(path).images[0][0] == 0).all()  # 40 x 32 pixels: a black bar above
