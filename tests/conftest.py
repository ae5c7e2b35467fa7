"""Fixtures shared by the tests."""

import os
import shutil
from pathlib import Path

import fixtures
import pytest

# As in runs (`machine.set_deterministic`): else JAX's results on a GPU, which many tests compare, differ in the last digits.
os.environ.setdefault("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")

LONGEST = ("test_faults.py", "test_slurm.py", "test_sweep.py", "test_overlaps.py", "test_book.py", "test_models.py")
REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest: of two workers none waits for the other at the end."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def realdata():
    """Folder with samples of the real datasets, or skip."""
    if not REALDATA.is_dir():
        pytest.skip("no real images: ../shared/realdata beside the repository is absent")
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
