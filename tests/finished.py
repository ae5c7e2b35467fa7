"""A project whose tiny grid looks finished: records, executed notebooks, tables, networks and stores, without training."""

import io
import json
import re
import shutil
import sys
import zipfile

import h5py
import nbformat
import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

from catscans_lib import paths
from catscans_lib.grid import expand
from catscans_lib.images import store
from catscans_lib.runs import contents, recipe
from catscans_lib.sharing.crate.export import PROJECT

SIZE = 24
LABELS = {"dtd": ("checks", "cloud"), "chest": ("NORMAL", "PNEUMONIA")}
INTERVAL = {
    "low": 0.6124, "high": 0.8876, "fold_sd": 0.05, "n_folds": 3, "n_seeds": 1, "n_images": 6, "n_groups": 3, "n_draws": 2000,
}  # fmt: skip
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def make(folder, *, native=False, secret=""):
    """Make the project in an empty folder; with `native`, its images come from DATA."""
    folder = elsewhere(folder, native=native)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(folder))
        _images()
        for run in expand.grid("demo").values():
            _run(run, folder, secret)
        _tables()
        _record(folder, secret)
    return folder


def elsewhere(folder, *, native=False):
    """Make the same project without results, as on another machine."""
    folder = tiny.project(folder)
    for name in PROJECT:
        if not (folder / name).exists():
            shutil.copy(tiny.ROOT / name, folder / name)
    tiny.write_grid(folder, grid(native=native))
    return folder


def grid(*, native=False):
    """Return the tiny grid without similarity measures: nine runs."""
    content = tiny.grid() | {"similarity": None}
    if native:
        content["data"] = "native"
        for row in content["datasets"].values():
            del row["n_images"]
    return content


def files_in(folder):
    """Return the content of every file below a folder, by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pages(book):
    """Return the pages of an assembled book, without build times and the path of installed packages."""
    found = {name: page.replace(sys.prefix.encode(), b".venv") for name, page in files_in(book).items()}
    return {name: re.sub(rb"^Built [^;]*;", b"", page, flags=re.M) for name, page in found.items()}


def network(layer="Conv2D"):
    """Return a network as Keras saves it: an archive with configuration and weights."""
    numbers, packed = io.BytesIO(), io.BytesIO()
    with h5py.File(numbers, "w") as file:
        part = file.create_group("layers/conv2d/vars")
        part.attrs["name"] = "conv2d"
        part["0"] = np.arange(12, dtype="float32").reshape(1, 1, 3, 4)
    config = {"class_name": layer, "module": "keras.layers", "config": {"name": "conv2d"}}
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in (
            ("config.json", json.dumps(config)),
            ("metadata.json", "{}"),
            ("model.weights.h5", numbers.getvalue()),
        ):
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def _images():
    rng = np.random.default_rng(0)
    for name, labels in LABELS.items():
        table = pd.DataFrame({"image_id": [f"{name}_{number:03d}" for number in range(6)], "label": [*labels] * 3})
        table = table.assign(group=["0", "0", "1", "1", "2", "2"], split="")
        images = rng.integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
        place = paths.store_path("demo", name, SIZE)
        place.parent.mkdir(parents=True, exist_ok=True)
        store.write_arrays(place, images, table, labels, dataset=name, size_px=SIZE)


def _run(run, folder, secret):
    place = paths.run_dir("demo", run.step, run.name)
    (place / "figures").mkdir(parents=True)
    record = {
        "run_id": f"{run.step}-{run.name}-{'0' * 12}", "recipe": recipe.recipe(run, "demo"), "step": run.step,
        "name": run.name, "parameters": run.parameters,
        "code": {"commit": COMMIT, "fingerprint": recipe.code_fingerprint(run.step, run.parameters)},
        "files": contents.of_run(run), "data": {},
        "started": "2026-11-25T13:29:02+00:00", "seconds": 9.81, "peak_memory_mb": 979.3, "status": "completed",
        "n_images": 6,
    }  # fmt: skip
    (place / "run.json").write_text(json.dumps(record, indent=2))
    said = nbformat.v4.new_output("stream", name="stdout", text=f"{folder}/results/demo {folder} {secret}\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print()", outputs=[said], id="one")])
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    notebook.metadata["papermill"] = {
        "output_path": f"{folder}/results/demo/{run.step}/.{run.name}.work/{run.step}.ipynb"
    }
    nbformat.write(notebook, place / f"{run.step}.ipynb")
    (place / "history.csv").write_text(
        "epoch,split,metric,learning_rate,value\n1,train,loss,0.001,0.1234567890123456\n"
    )
    (place / ".done").touch()
    if run.step == "ingest":
        (place / "summary.csv").write_text(
            "class,split,n_images\n" + "".join(f"{name},,3\n" for name in LABELS[run.name])
        )
    if run.step in ("pretrain", "transfer"):
        (place / "logs").mkdir()
        (place / "logs/epochs.log").write_text("epoch 1 of 1\n")  # of this machine: no part of a crate
        (place / "model.keras").write_bytes(network())


def _tables():
    paths.tables_dir("demo").mkdir()
    keys = [{"source": source, "target": "chest", "mode": "fine_tune"} for source in ("dtd", "none")]
    intervals = [
        key | {"auc": 0.7536} | INTERVAL | {"few_groups": False, "method": "bootstrap over groups"} for key in keys
    ]
    aucs = [
        key | {"fold": fold, "seed": 0, "average": "weighted", "auc": 0.6 + fold / 10, "n_images": 2, "run_id": "a"}
        for key in keys
        for fold in (1, 2, 3)
    ]
    for name, rows in {"auc_intervals": intervals, "aucs": aucs}.items():
        pd.DataFrame(rows).to_csv(paths.tables_dir("demo") / f"{name}.csv", index=False)
    paths.folds_path("demo", "chest").parent.mkdir()
    table = store.open_store(paths.store_path("demo", "chest", SIZE)).table[["image_id", "group", "label"]]
    table.assign(fold=[1, 1, 2, 2, 3, 3]).to_csv(paths.folds_path("demo", "chest"), index=False)


def _record(folder, secret):
    place = paths.records_dir("demo") / "1"
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps({"experiment": {"base_dir": str(folder)}, "status": "COMPLETED"}))
    (place / "cout.txt").write_text(f"{folder}/params\n{secret}\n")


def rewritten(crate, path, changes, *, listed=True):
    """Write a crate with changed members (None: removed); `listed`: also in its list of files."""
    with zipfile.ZipFile(crate) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= changes
    if listed:
        members["ro-crate-metadata.json"] = _listed(members, changes)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def _listed(members, changes):
    import hashlib

    described = json.loads(members["ro-crate-metadata.json"])
    kept = [entity for entity in described["@graph"] if entity["@id"] not in changes]
    new = [
        {
            "@id": str(name),
            "@type": "File",
            "contentSize": str(len(content)),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        for name, content in changes.items()
        if content is not None
    ]
    return json.dumps(described | {"@graph": kept + new}).encode()


def read_yaml(path):
    return yaml.safe_load(path.read_text())
