"""The notebook of the evidence run with few draws, on the published tables alone or on all."""

import shutil
from pathlib import Path

import nbformat
import pytest
import yaml

from catscans_lib import results

ROOT = Path(__file__).resolve().parents[1]


def without_own(folder):
    """Copy the published tables, without those of our own runs."""
    shutil.copytree(ROOT / "evidence", folder, ignore=shutil.ignore_patterns("own_*"))
    path = folder / "studies.yaml"
    own = [name for name in yaml.safe_load(path.read_text()) if name.startswith("own_")]
    lines, kept, is_kept = path.read_text().splitlines(keepends=True), [], True
    for line in lines:
        is_kept = line.split(":")[0] not in own if line[:1].strip() else is_kept
        kept += [line] * is_kept
    path.write_text("".join(kept))


def ran_notebook():
    """Run the notebook's cells in this process and publish the run, as by a sweep of the demo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(results.WORK_DIR, str(results.new_work_dir("demo", "evidence", "all")))
        names = {}
        for cell in nbformat.read(ROOT / "notebooks/evidence.ipynb", 4).cells:
            is_parameters = "parameters" in cell.metadata.get("tags", [])
            if cell.cell_type == "code":
                exec("n_draws, draw_seed, profile = 100, 0, 'demo'" if is_parameters else cell.source, names)
        results.publish("demo", "evidence", "all")
