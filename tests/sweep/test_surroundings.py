"""A sweep gives the same tables wherever, and as whomever, it runs; what it cannot honour is refused before anything starts."""

import json
import shutil
import subprocess

import faulting
import pytest
import tiny

pytestmark = pytest.mark.slow
RUN = "transfer/none--chest"
PASSWORD = "pass-word-1234"
NO_LOCKS = "#include <errno.h>\nint flock(int file, int operation) { errno = ENOLCK; return -1; }\n"


def sweep(folder, *front, **env):
    """Run one transfer and what it needs, with a command in front; return its tables and what was printed."""
    faulting.project(folder)
    command = [*front, *tiny.CLI, "sweep", RUN]
    env = faulting.environment(folder, **env)
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return faulting.tables(folder), done.stdout + done.stderr


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The tables of an undisturbed sweep."""
    return sweep(tmp_path_factory.mktemp("undisturbed") / "project")[0]


def test_settings_kernels_and_start_up_files_of_the_user_do_not_count_and_a_proxy_stays(expected, tmp_path):
    home, folder = tmp_path / "home", tmp_path / "a project"
    files = {
        ".keras/keras.json": '{"image_data_format": "channels_first", "backend": "torch", "floatx": "bfloat16"}',
        ".local/share/jupyter/kernels/python3/kernel.json": json.dumps(
            {"argv": ["/bin/false", "{connection_file}"], "display_name": "R", "language": "R"}
        ),
        ".ipython/profile_default/startup/00.py": "import os; os._exit(3)",
    }
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(content)
    jupyter = {"JUPYTER_PREFER_ENV_PATH": "0", "JUPYTER_PATH": str(home / ".local/share/jupyter")}
    proxy = f"http://cat:{PASSWORD}@proxy.example.org:3128"
    found, said = sweep(folder, HOME=str(home), HTTPS_PROXY=proxy, **jupyter)
    assert found == expected
    record = json.loads((folder / f"results/demo/{RUN}/run.json").read_text())
    assert record["keras"] == {"backend": "tensorflow", "data_format": "channels_last", "float_type": "float32"}
    written = [path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()]
    assert PASSWORD not in said and not [content for content in written if PASSWORD.encode() in content]


def test_no_home_no_user_name_and_no_file_locks_are_no_hindrance(expected, tmp_path):
    nameless = ("unshare", "--user", "--map-user=12345")
    if not all(map(shutil.which, ("cc", "unshare"))) or subprocess.run([*nameless, "true"], check=False).returncode:
        pytest.skip("needs a C compiler and the right to make a user namespace")
    (tmp_path / "locks.c").write_text(NO_LOCKS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "locks.so", tmp_path / "locks.c"], check=True)
    unset = ("env", "--unset=USER", "--unset=LOGNAME", "--unset=LNAME", "--unset=USERNAME")
    env = {"HOME": "/proc/nowhere", "LD_PRELOAD": str(tmp_path / "locks.so")}
    found, said = sweep(tmp_path / "project", *unset, *nameless, **env)
    assert found == expected
    assert said.count("is on a file system without file locks (No locks available). Start one sweep at a time") == 1
