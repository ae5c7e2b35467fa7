"""environment.yml and the container hold what the lock file does; make finds an interpreter for .venv or fetches one."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def test_environment_yml_lists_the_python_and_the_very_dependencies_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    *others, pip = environment["dependencies"]
    assert others == [f"python{project['requires-python']}", "pip"]
    assert pip["pip"] == [*project["dependencies"], "-e ."]


def test_binder_has_a_python_that_fits_and_installs_the_lock_file():
    (python, *_) = yaml.safe_load((ROOT / ".binder/environment.yml").read_text())["dependencies"]
    assert python.removeprefix("python=") in ("3.11", "3.12", "3.13")
    script = ROOT / ".binder/postBuild"
    assert os.access(script, os.X_OK) and "--requirement requirements.lock" in script.read_text()


def test_reana_gets_every_file_that_the_sweep_reads_and_a_command_that_exists():
    from catscans_lib.cli.main import main
    from catscans_lib.sharing.crate.export import PROJECT

    stated = yaml.safe_load((ROOT / "reana.yaml").read_text())
    given = stated["inputs"]["files"] + stated["inputs"]["directories"]
    assert all((ROOT / name).exists() for name in given) and set(PROJECT) <= set(given)
    (step,) = stated["workflow"]["specification"]["steps"]
    command, *words = step["commands"][0].partition("catscans ")[2].split()
    options = {name for option in main.commands[command].params for name in option.opts}
    assert {word for word in words if word.startswith("--")} <= options


def made(folder, fitting, uv_exit=0):
    """Run make's set-up where only the interpreters `fitting` fit; return what made `.venv` and what make printed."""
    commands = folder / "bin"
    commands.mkdir()
    make_venv = f"mkdir -p .venv/bin && cp {commands}/nothing .venv/bin/python && cp {commands}/nothing .venv/bin/uv"
    scripts = {"nothing": "exit 0", "uv": f'echo uv "$@" > log; {make_venv}; exit {uv_exit}'}
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        fits = f'[ "$1" = -c ] && exit 0; echo {name} "$@" > log; {make_venv}'
        scripts[name] = fits if name in fitting else "exit 127"  # as pyenv answers for a version that is not chosen
    for name, script in scripts.items():
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    env = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "MAKEFLAGS": ""}
    env.pop("PYTHON", None)
    done = subprocess.run(["make", ".venv/.complete"], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (folder / ".venv/.complete").exists()
    return (folder / "log").read_text().strip(), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("fitting", "chosen"),
    [(("python3.11",), "python3.11"), (("python3.11", "python3.12"), "python3.12"), (("python3",), "python3")],
)
def test_make_takes_the_newest_interpreter_that_fits(tmp_path, fitting, chosen):
    assert made(tmp_path, fitting)[0] == f"{chosen} -m venv --clear .venv"


def test_make_lets_uv_fetch_python_where_none_fits_and_says_what_to_do_if_that_fails(tmp_path):
    (tmp_path / "fetched").mkdir()
    log, said = made(tmp_path / "fetched", ())
    assert log == "uv venv --quiet --clear --seed --managed-python --python 3.13 .venv"
    assert "found none among: python3.13 python3.12 python3.11 python3. uv fetches Python 3.13 ..." in said
    (tmp_path / "offline").mkdir()
    assert "Install Python 3.11, 3.12 or 3.13" in made(tmp_path / "offline", (), uv_exit=1)[1]


def test_the_container_is_made_from_the_lock_file_and_files_that_exist(tmp_path):
    text = re.sub(r"\\\n", "", re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()))
    copied = [line.split()[-2] for line in text.splitlines() if line.startswith("COPY")]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert copied == ["requirements.lock", "."]
    assert not {"catscans_lib", "notebooks", "params", "book", "requirements.lock", "pyproject.toml"} & set(ignored)
    from_lock = r"-r /tmp/uv.txt|-r requirements.lock|-c requirements.lock|requirements.lock\)|--no-deps .* -e \."
    installs = re.findall(r"pip install [^;&]*", text)
    assert len(installs) == 5 and all(re.search(from_lock, install) for install in installs)
    cluster = yaml.safe_load((ROOT / "params/cluster/kubernetes/config.yaml").read_text())
    assert f"WORKDIR {cluster['kubernetes-persistent-volumes'][0].split(':')[1]}\n" in text


def test_the_container_recipe_passes_hadolint():
    if not (hadolint := Path(sys.executable).with_name("hadolint")).exists():
        pytest.skip("no hadolint for this machine")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("given", ["/my data/", "~/my data", "relative"])
def test_make_passes_a_folder_on_as_it_is_written_and_replaces_a_home_that_cannot_be_written(given):
    command = ["make", "--silent", "--eval", "show: ; @printenv CATSCANS_DATA HOME", "show", f"DATA={given}"]
    env = {**os.environ, "HOME": "/proc/nowhere", "MAKEFLAGS": ""}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [given, str(ROOT / ".snakemake/home")]


def test_the_files_of_other_services_say_what_the_citation_and_the_makefile_say():
    cited, zenodo = yaml.safe_load((ROOT / "CITATION.cff").read_text()), json.loads((ROOT / ".zenodo.json").read_text())
    assert zenodo["creators"] == [{"name": one["name"]} for one in cited["authors"]]
    assert (zenodo["title"], zenodo["version"], zenodo["license"]["id"]) == (
        cited["title"],
        cited["version"],
        cited["license"],
    )
    assert zenodo["publication_date"] == str(cited["date-released"])
    assert cited["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    jobs = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    commands.append(json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())["postCreateCommand"])
    targets = re.findall(r"(?m)^([\w./-]+):", (ROOT / "Makefile").read_text())
    assert len(commands) == 3 and all(command.removeprefix("make ") in targets for command in commands)


def test_make_lab_opens_copies_and_keeps_those_that_were_changed(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    complete = ("requirements.lock", ".venv/.complete")
    for place in (*complete, "notebooks/reanalysis.ipynb", "notebooks/other.ipynb", "scratch/other.ipynb"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(place)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/jupyter").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "bin/jupyter").chmod(0o755)
    command = ["make", "--silent", "lab", "BIN=bin"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "lab --LabApp.default_url=/lab/tree/scratch/reanalysis.ipynb\n"
    assert (tmp_path / "scratch/reanalysis.ipynb").read_text() == "notebooks/reanalysis.ipynb"
    assert (tmp_path / "scratch/other.ipynb").read_text() == "scratch/other.ipynb"
