import pytest

from catscans_lib import paths
from catscans_lib.errors import InputError


@pytest.mark.parametrize(
    ("variable", "folder", "option"),
    [
        ("CATSCANS_DATA", paths.data_dir, "DATA"),
        ("CATSCANS_WEIGHTS", paths.weights_dir, "WEIGHTS"),
    ],
)
def test_a_folder_that_is_not_set_missing_or_empty_is_refused_with_how_to_set_it(
    monkeypatch, tmp_path, variable, folder, option
):
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(InputError, match=f"{option} is not set. Set {option}: make book PROFILE=... {option}=folder"):
        folder()
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere', which is not a folder"):
        folder()
    monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(InputError, match="which is empty"):
        folder()
    (tmp_path / "file").touch()
    assert folder() == tmp_path


def test_the_project_is_found_from_a_folder_below_it_and_nowhere_else(monkeypatch, tmp_path):
    monkeypatch.delenv("CATSCANS_ROOT", raising=False)
    below = tmp_path / "project" / "notebooks"
    below.mkdir(parents=True)
    (tmp_path / "project" / "params").mkdir()
    monkeypatch.chdir(below)
    assert paths.root() == tmp_path / "project"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="No compendium found at .*Change into the project's folder"):
        paths.root()
