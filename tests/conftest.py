"""Fixtures shared by the tests."""

import os
import shutil
import sys
from pathlib import Path

import fixtures
import pytest
import tiny
import yaml
from reference import REALDATA

import catscans_lib  # noqa: F401 - before Keras, whose settings it makes the project's

# As in runs (`backend.set_deterministic`): otherwise JAX's results on a GPU differ in the last digits, which tests compare.
os.environ.setdefault("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")

LONGEST = ("test_faults.py", "test_slurm.py", "test_sweep.py", "test_duplicates.py", "test_book.py", "test_build.py")


def pytest_collection_modifyitems(items):
    """Start with the slowest files, so that both workers finish at about the same time."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(autouse=True)
def no_number_format_or_figure_is_left():
    """Each test starts in float32 and without open figures; libraries that a test does not need are not imported for it."""
    yield
    if keras := sys.modules.get("keras"):
        keras.config.set_dtype_policy("float32")
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The folder of a project with the tiny grid and no results, outside git."""
    monkeypatch.setenv("CATSCANS_ROOT", str(tiny.project(tmp_path)))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


@pytest.fixture(scope="session")
def realdata():
    """Folder with samples of the real datasets, or skip."""
    if not REALDATA.is_dir():
        pytest.skip("no real images: ../shared/realdata is missing")
    return REALDATA


@pytest.fixture(scope="session")
def native_template(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("native")
    fixtures.write_all(data_dir)
    return data_dir


@pytest.fixture
def native_data(tmp_path, native_template):
    """A data folder with every dataset in its published layout, tiny; tests may change it."""
    return Path(shutil.copytree(native_template, tmp_path / "native", copy_function=shutil.copyfile))


@pytest.fixture
def native_project(tmp_path, monkeypatch, native_data):
    """A project of a part of the profile "sample", which reads the tiny native datasets, with two folds."""
    folder = tiny.project(tmp_path / "project")
    content = yaml.safe_load((tiny.ROOT / "params/sample.yaml").read_text()) | {"folds": {"n_folds": 2, "seed": 0}}
    kept = ("imagenet", "dtd", "isic2018", "chest")
    for block in (content["datasets"], content["pretrain"]["sources"], content["transfer"]["targets"]):
        for name in block.keys() - set(kept):
            del block[name]
    tiny.write_grid(folder, content, "sample")
    monkeypatch.setenv("CATSCANS_ROOT", str(folder))
    monkeypatch.setenv("CATSCANS_DATA", str(native_data))
    monkeypatch.delenv("CATSCANS_WORK_DIR", raising=False)
    return folder
