import os
import subprocess
import sys

import pytest

from catscans_lib import paths
from catscans_lib.errors import InputError


def test_a_folder_that_is_not_set_missing_or_empty_is_refused_with_how_to_set_it(monkeypatch, tmp_path):
    monkeypatch.delenv("CATSCANS_DATA", raising=False)
    with pytest.raises(InputError, match="DATA is not set. Set DATA: make book PROFILE=... DATA=folder"):
        paths.data_dir()
    monkeypatch.setenv("CATSCANS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere', which is not a folder"):
        paths.data_dir()
    monkeypatch.setenv("CATSCANS_DATA", str(tmp_path))
    with pytest.raises(InputError, match="which is empty"):
        paths.data_dir()
    (tmp_path / "file").touch()
    assert paths.data_dir() == tmp_path


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


def test_an_atomic_write_replaces_the_file_at_its_end_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with paths.atomic_write(path) as part:
        part.write_text("first")
        assert part.parent == path.parent and not path.exists()
    with pytest.raises(OSError, match="disk full"), paths.atomic_write(path) as part:
        part.write_text("second")
        raise OSError("disk full")
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_an_atomic_write_removes_what_killed_processes_left_and_spares_what_others_write(tmp_path):
    with paths.atomic_write(tmp_path / "table.csv") as part:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        left = part.with_name(part.name.replace(f"-{os.getpid()}.", f"-{ended.pid}."))
        other = part.with_name(part.name.replace(f"-{os.getpid()}.", f"-{os.getppid()}."))
        for path in (part, left, other):
            path.touch()
        with paths.atomic_write(tmp_path / "table.csv") as again:
            again.touch()
            assert not left.exists() and other.exists()
        part.touch()


def test_a_held_lock_names_its_holder_and_may_be_refused(tmp_path):
    def refuse(holder):
        raise InputError(f"held by {holder}")

    path = tmp_path / "notes" / "lock"
    with (
        paths.locked(path),
        pytest.raises(InputError, match=f"held by process {os.getpid()} on .*, since 2"),
        paths.locked(path, refuse),
    ):
        pass
    with paths.locked(path, refuse):
        pass
