import errno
import getpass
import os
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest

from catscans_lib import paths
from catscans_lib.errors import InputError


def test_a_folder_that_is_not_set_missing_or_empty_is_refused_with_how_to_set_it(monkeypatch, tmp_path):
    monkeypatch.delenv("CATSCANS_DATA", raising=False)
    with pytest.raises(InputError, match="DATA is not set. Set DATA: make book PROFILE=... DATA=folder"):
        paths.given_dir("CATSCANS_DATA")
    monkeypatch.setenv("CATSCANS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere', which is not a folder"):
        paths.given_dir("CATSCANS_DATA")
    monkeypatch.setenv("CATSCANS_DATA", str(tmp_path))
    with pytest.raises(InputError, match="which is empty"):
        paths.given_dir("CATSCANS_DATA")
    (tmp_path / "file").touch()
    assert paths.given_dir("CATSCANS_DATA") == tmp_path


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
        left = part.with_name(part.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
        other = part.with_name(part.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-"))
        elsewhere = left.with_name(
            left.name.replace(f"-{paths._container()}-", "-1-")
        )  # the same number in a container
        for path in (part, left, other, elsewhere):
            path.touch()
        with paths.atomic_write(tmp_path / "table.csv") as again:
            again.touch()
            assert not left.exists() and other.exists() and elsewhere.exists()
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


def test_threads_and_processes_that_write_one_file_at_once_all_succeed(tmp_path):
    code = (
        "import sys, threading; from pathlib import Path; from catscans_lib import paths\n"
        "def write():\n"
        "    for _ in range(20):\n"
        "        with paths.atomic_write(Path(sys.argv[1])) as part: part.write_text('features')\n"
        "threads = [threading.Thread(target=write) for _ in range(4)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "features.npy")]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [writer.communicate()[1] for writer in writers] == [b"", b""]
    assert [path.name for path in tmp_path.iterdir()] == ["features.npy"]


def test_a_folder_is_replaced_although_nfs_keeps_an_open_file_in_the_former_one(tmp_path, monkeypatch):
    rmtree, final = paths.shutil.rmtree, tmp_path / "run"
    keeps = threading.Event()
    keeps.set()
    monkeypatch.setattr(paths.shutil, "rmtree", lambda folder, **how: None if keeps.is_set() else rmtree(folder, **how))
    for number in range(3):
        new = tmp_path / ".run.work"
        new.mkdir()
        (new / "run.json").write_text(str(number))
        (new / ".nfs0000").touch()
        paths.replace_folder(new, final)
        assert (final / "run.json").read_text() == str(number)
    keeps.clear()
    paths.remove_folder(final)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".run.")] == []


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_file_locks_the_work_goes_on_after_one_warning(tmp_path, monkeypatch, capsys, code):
    def fails(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(filelock, "lock_descriptor", fails)
    monkeypatch.setenv(paths.UNLOCKED, "")
    for _ in range(2):
        with paths.locked(tmp_path / "lock"):
            pass
    assert capsys.readouterr().err == (
        f"catscans: {tmp_path} is on a file system without file locks ({os.strerror(code)}). Start one sweep at a time here.\n"
    )


def test_a_lock_holds_until_a_process_that_inherited_it_ends(tmp_path):
    """As Snakemake inherits the lock of the sweep that started it."""
    with paths.locked(tmp_path / "lock") as lock:
        command = [sys.executable, "-c", "input()"]
        heir = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[lock.fileno()])
        paths.sign(lock, heir.pid)

    def refuse(holder):
        raise InputError(holder)

    with pytest.raises(InputError, match=f"process {heir.pid} on"), paths.locked(tmp_path / "lock", refuse):
        pass
    heir.communicate()
    with paths.locked(tmp_path / "lock", refuse):
        pass


@pytest.mark.parametrize("given", ["~/my data", "my data", "./my data/", "{home}/my data"])
def test_folders_are_found_with_blanks_with_a_tilde_and_relative_to_the_current_folder(tmp_path, monkeypatch, given):
    (tmp_path / "my data").mkdir()
    (tmp_path / "my data" / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CATSCANS_DATA", given.format(home=tmp_path))
    paths.adapt_environment()
    monkeypatch.chdir("/")  # a kernel or a job works elsewhere
    assert paths.given_dir("CATSCANS_DATA") == tmp_path / "my data"


def test_a_user_without_a_name_or_a_home_gets_a_number_and_a_folder_of_the_project(project, monkeypatch):
    def unknown():
        raise KeyError("getpwuid(): uid not found: 12345")

    for variable in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setattr(getpass, "getuser", unknown)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    paths.adapt_environment()
    assert os.environ["USER"] == str(os.getuid())
    assert Path.home() == project / ".snakemake/home" and os.access(Path.home(), os.W_OK)
