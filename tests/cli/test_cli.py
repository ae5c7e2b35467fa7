"""The command line answers bad input with one message and exit status 2, and starts nothing."""

import fcntl
import os
import re
import shlex
import subprocess
import sys

import click
import pytest
import tiny
from click.testing import CliRunner

from catscans_lib.cli import main, sweep
from catscans_lib.grid import expand
from catscans_lib.recommend import report, texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.project(tmp_path_factory.mktemp("project"))


def answers(folder, *arguments, **env):
    """Assert exit status 2 and that nothing was written; return the message. In this process, as a new one takes a second."""
    others = {name: None for name in os.environ if name.startswith("CATSCANS_")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(main.main, arguments, env=others | {"CATSCANS_ROOT": str(folder)} | env)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    assert not (folder / "results").exists()
    assert not (folder / "data").exists()
    return result.stderr


def options(command, name="catscans"):
    yield from ((name, option) for option in command.params if isinstance(option, click.Option) and not option.hidden)
    for below in getattr(command, "commands", {}).values():
        yield from options(below, f"{name} {below.name}")


def test_every_option_of_every_command_has_a_help_text():
    assert [(name, option.name) for name, option in options(main.main) if not option.help] == []


def test_a_valid_grid_is_counted(folder):
    counts = "2 ingest, 1 overlaps, 1 pretrain, 2 transfer, 1 evaluate, 1 stability, 1 feature_maps, 1 similarity"
    said = tiny.catscans(folder, "check").stdout
    assert said == f"params/demo.yaml is valid: {counts}, 1 transferability.\n"


def test_the_process_that_starts_a_run_does_not_load_what_only_notebooks_need(tmp_path):
    """Every run has this process in addition to its kernel; Sacred imports pandas, and nothing else may."""
    code = """
import sys
from catscans_lib.cli import main, share
from catscans_lib.runs import execute, records
from catscans_lib.runs.records import masking
records._experiment("demo", "ingest/dtd", {}, masking.Mask.of_environment())
print(sorted({"h5py", "matplotlib", "sacred", "scipy", "sklearn", "tensorflow"} & set(sys.modules)))
"""
    env = {**os.environ, "CATSCANS_ROOT": str(tiny.project(tmp_path / "project"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.splitlines() == ["['sacred']"]


def test_unknown_profiles_and_runs_are_refused_with_the_known_names(folder):
    assert "Unknown profile 'full'; known: demo" in answers(folder, "book", "--profile", "full")
    assert "Unknown run 'transfer/cats--chest'" in answers(folder, "sweep", "transfer/cats--chest")


def test_a_missing_or_empty_folder_is_reported_before_anything_runs(folder, tmp_path):
    tiny.write_grid(folder, tiny.grid() | {"data": "native"}, "real")
    unset = "DATA is not set. Set DATA: make book PROFILE=... DATA=folder"
    assert unset in answers(folder, "book", "--profile", "real")
    (tmp_path / "empty").mkdir()
    assert "which is empty" in answers(folder, "sweep", "--profile", "real", CATSCANS_DATA=str(tmp_path / "empty"))
    content = tiny.grid() | {"backbone": "squeezenet"}
    content["pretrain"]["sources"] = {"dtd": {"weights": "squeezenet.h5"}}
    content["datasets"] = {key: row | {"size_px": 32} for key, row in content["datasets"].items()}
    tiny.write_grid(folder, content, "weights")
    assert "WEIGHTS is not set" in answers(folder, "sweep", "--profile", "weights")


def test_unknown_clusters_and_experiments_and_selections_without_match_are_refused(folder):
    assert "Unknown cluster 'moon'" in answers(folder, "sweep", "--cluster", "moon")
    assert "Unknown run '*--cats'; known: ingest/" in answers(folder, "sweep", "*--cats")
    message = answers(folder, "sweep", "--set", "learning_rate=fast")
    assert "demo.yaml --set learning_rate=fast: " in message and "learning_rate got 'fast'" in message
    assert "Unknown experiment of demo 'short'; known: none." in answers(folder, "book", "--as", "short")
    assert "--as got '../up'; a name of letters" in answers(folder, "sweep", "--set", "epochs=1", "--as", "../up")
    assert not list((folder / "params").glob("*+*"))


def test_a_dry_run_without_a_sweep_names_the_gaps_and_builds_no_book(folder):
    said = tiny.catscans(folder, "book", "--no-sweep", "--dry-run", check=True).stdout
    assert "Missing runs (11): ingest/" in said
    assert "the book of profile demo would be built" in said
    assert not (folder / "_build").exists()


def test_a_second_sweep_in_the_same_folder_is_refused(folder):
    (folder / ".snakemake").mkdir(exist_ok=True)
    with (folder / ".snakemake/catscans.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        assert "Another sweep is running in" in answers(folder, "sweep")


@pytest.mark.parametrize("command", [("sweep",), ("book",), ("recommend", "folder")])
def test_a_backend_of_keras_that_is_not_supported_is_refused_before_anything_starts(folder, monkeypatch, command):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert "Unknown backend of Keras in KERAS_BACKEND 'torch'; known: jax, tensorflow" in answers(folder, *command)


@pytest.mark.parametrize("words", [["--group-column", ""], ["--group-column="], ["--group-column", "", "--seed", "1"]])
def test_an_empty_value_of_an_option_is_refused(words):
    result = CliRunner().invoke(main.main, ["recommend", "x", *words])
    assert result.exit_code == 2 and "--group-column got an empty value. Leave it out" in result.output


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "No space left on device. Is the disk full"),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied '/x'. Is the disk full, or the folder not writable?"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_one_message_of_any_command(folder, monkeypatch, error, message):
    def fail(*_):
        raise error

    monkeypatch.setattr(report, "recommend", fail)
    assert message in answers(folder, "recommend", "x")


def test_tables_of_a_profile_without_any_are_refused(folder, tmp_path):
    assert "Profile 'nope' has no table yet" in answers(folder, "tables", str(tmp_path / "t.zip"), "--profile", "nope")
    said = answers(folder, "tables", str(tmp_path / "t.zip"))
    assert "Profile 'demo' has no table yet. Make them: .venv/bin/catscans sweep --profile demo" in said
    assert not (tmp_path / "t.zip").exists()


def written_commands():
    """Give the sweeps that README and book tell to type, and every --set that help and messages name."""
    for path in [*tiny.ROOT.glob("book/*.md"), tiny.ROOT / "README.md"]:
        text = path.read_text().replace("{{ profile }}", "demo").replace("{{ key }}", "transfer/dtd--chest")
        for line in re.findall(r"\.venv/bin/catscans ((?:sweep|book|check) [^`#\n]*)", text):
            yield pytest.param(
                shlex.split(line.split("--cluster")[0].split(" -- ")[0]), id=f"{path.name}: {line.strip()}"
            )
    for path in tiny.ROOT.glob("catscans_lib/**/*.py"):
        for change in set(re.findall(r"--set ([a-z][a-z_.]*=[a-z0-9]\w*)", path.read_text())):
            yield pytest.param(["sweep", "--set", change], id=f"{path.name}: {change}")


@pytest.mark.parametrize("words", list(written_commands()))
def test_the_commands_for_sweeps_that_texts_and_messages_tell_are_accepted(words, monkeypatch):
    monkeypatch.setattr(sweep, "_run", lambda profile, *_, **__: expand.grid(profile) and 3)
    monkeypatch.setenv("CATSCANS_ROOT", str(tiny.ROOT))
    dry = [] if words[0] == "check" or "--dry-run" in words else ["--dry-run"]
    result = CliRunner().invoke(main.main, [*words, *dry])
    assert result.exit_code == (0 if words[0] == "check" or "--no-sweep" in words else 3), result.output


def test_recommend_with_strict_fails_if_images_were_left_out(monkeypatch):
    lost = {"left_out": [{"n": 2, "reason": "no label", "example": "a.png"}], "read_in_part": []}
    monkeypatch.setattr(report, "recommend", lambda *_: {"images": lost})
    monkeypatch.setattr(texts, "text", lambda _: "ranked")
    words = ["recommend", "x"]
    assert CliRunner().invoke(main.main, words).exit_code == 0
    result = CliRunner().invoke(main.main, [*words, "--strict"])
    assert (
        result.exit_code == 2
        and "ranked" in result.output
        and "--strict: 2 losses. First: no label: a.png." in result.output
    )
