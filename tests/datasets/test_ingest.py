"""From a folder as downloaded to a store and folds, with everything that may be wrong in it."""

import json

import pandas as pd

from catscans_lib.grid import expand
from catscans_lib.images import folds
from catscans_lib.runs import execute


def test_the_ingest_page_reports_broken_files_by_path_skips_and_counts_them_and_keeps_the_rest(
    native_project, native_data
):
    images = native_data / "ISIC2018/ISIC2018_Task3_Training_Input"
    zero, corrupt, unlisted, absent, *_ = sorted(images.glob("*.jpg"))[2::4]
    zero.write_bytes(b"")
    corrupt.write_bytes(corrupt.read_bytes()[:200])
    absent.unlink()
    unlisted.rename(images / "ISIC_9999999.jpg")
    folder = execute.execute(expand.grid("sample")["ingest/isic2018"], "sample")
    problems = pd.read_csv(folder / "problems.csv").set_index("path")["problem"]
    base = "ISIC2018/ISIC2018_Task3_Training_Input"
    assert "empty file" in problems[f"{base}/{zero.name}"]
    assert f"{base}/{corrupt.name}" in problems
    assert "no such file" in problems[f"{base}/{absent.name}"]
    assert "no such file" in problems[f"{base}/{unlisted.name}"]
    assert "not in the ground truth" in problems[f"{base}/ISIC_9999999.jpg"]
    record = json.loads((folder / "run.json").read_text())
    assert (record["n_problems"], record["n_images"]) == (5, 28 - 4)
    assert zero.name in (folder / "ingest.ipynb").read_text()
    saved = folds.read(native_project / "results/sample/folds/isic2018.csv")
    assert len(saved) == 24
    assert saved.groupby("group")["fold"].nunique().max() == 1
