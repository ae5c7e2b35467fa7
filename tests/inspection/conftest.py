import pytest
import saved_networks


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A project with two saved networks, of sources dtd and none."""
    folder = tmp_path_factory.mktemp("made")
    saved_networks.make(folder)
    return folder


@pytest.fixture
def images(made, tmp_path, monkeypatch):
    """The image store of the target, in a copy of that project."""
    return saved_networks.copied(made, tmp_path, monkeypatch)
