import shutil

import pytest
import saved_networks

from catscans_lib.images import store


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A project with two saved networks, of sources dtd and none."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(folder))
        saved_networks.make(folder)
    return folder


@pytest.fixture
def images(made, tmp_path, monkeypatch):
    """The image store of the target, in a copy of that project."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    return store.open_store(tmp_path / "chest.h5")
