"""The command line: check a grid, run the sweep or one run of it, build the book."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, get_args

import click

from catscans_lib import data_commands, params, paths, settings
from catscans_lib.errors import InputError

profile_option = click.option("--profile", default="demo", show_default=True, help="Grid in params/<profile>.yaml.")
jobs_option = click.option(
    "--jobs", type=click.IntRange(1), help="Runs at a time; default: what cores and memory allow, 1 on a GPU."
)


class _Group(click.Group):
    """Turns bad input into one message and exit status 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except InputError as error:
            click.echo(f"catscans: {error}", err=True)
            sys.exit(2)


@click.group(cls=_Group)
def main() -> None:
    """Cats or CAT scans: which source dataset to pretrain on for a medical target."""


main.add_command(data_commands.download)
main.add_command(data_commands.dataset)


@main.command()
@profile_option
def check(profile: str) -> None:
    """Validate a grid and the notebooks it runs; nothing is started."""
    runs = params.grid(profile)
    counts = {
        step: sum(run.step == step for run in runs.values()) for step in dict.fromkeys(r.step for r in runs.values())
    }
    click.echo(f"params/{profile}.yaml is valid: " + ", ".join(f"{n} {step}" for step, n in counts.items()) + ".")


@main.command()
@profile_option
def grid(profile: str) -> None:
    """Print every run of a grid with its parameters, one JSON object a line."""
    for run in params.grid(profile).values():
        click.echo(json.dumps({"run": run.key, "needs": run.needs, "parameters": run.parameters}))


@main.command()
@profile_option
@jobs_option
@click.argument("keys", nargs=-1, metavar="[STEP/NAME]...")
def sweep(profile: str, jobs: int | None, keys: tuple[str, ...]) -> None:
    """Run the grid, or only the named runs and what they need; finished runs are kept."""
    _sweep(profile, jobs, keys)


@main.command()
@profile_option
@jobs_option
def book(profile: str, jobs: int | None) -> None:
    """Run the grid and build the book; the last line is the path of its front page."""
    from catscans_lib.runner import say

    _sweep(profile, jobs, ())
    say("building the book")
    from catscans_lib.book import build

    index = build(profile)
    say(f"the book of profile {profile} is built")
    click.echo(paths.relative(index))


@main.command()
@click.option("--predictions", type=click.Path(path_type=Path), required=True, help="CSV with a row per image.")
@click.option("--against", type=click.Path(path_type=Path), help="Other predictions of the same images: a paired test.")
@click.option("--label", help="Column of the true class; default: y_true, label or y.")
@click.option("--group", help="Column of patients, lesions or slides; default: group, where there is one.")
@click.option("--positive", help="Which of two classes the score is of; default: the last by name.")
@click.option(
    "--average",
    type=click.Choice(get_args(settings.Average)),
    default="weighted",
    show_default=True,
    help="For more than two classes.",
)
@click.option("--draws", type=click.IntRange(100), default=2000, show_default=True, help="Draws of the bootstrap.")
@click.option("--seed", default=0, show_default=True, help="Seed of the draws.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    predictions: Path, against: Path | None, label: str | None, group: str | None, positive: str | None, average: str,
    draws: int, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Print AUC, interval and paired test of anybody's predictions; no sweep is needed.

    The CSV has the true class (y_true) and, for two classes, score, else score_<class> for each; image_id and group help.
    """
    from catscans_lib.evaluation import given

    files = [path for path in (predictions, against) if path]
    read = [given.read(path, label=label, group=group, positive=positive) for path in files]
    found = given.evaluate(read[0], read[1] if against else None, average=average, n_draws=draws, seed=seed)
    click.echo(json.dumps(found) if as_json else given.text(found))


@main.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.option(
    "--from", "profile", default="demo", show_default=True, help="Profile whose networks and results are used."
)
@click.option("--mode", help="How the source will be used: fine_tune or linear_probe; default: the profile's first.")
@click.option("--measure", "measures", multiple=True, help="What tells how close a source is; may be repeated.")
@click.option("--n-images", type=click.IntRange(20), default=500, show_default=True, help="Images looked at, at most.")
@click.option("--seed", default=0, show_default=True, help="Seed of their choice.")
@click.option("--label-column", default="label", show_default=True, help="CSV: column with the classes.")
@click.option("--path-column", default="path", show_default=True, help="CSV: column with the images' paths.")
@click.option("--group-column", help="CSV: column with the patient, lesion or slide.")
@click.option(
    "--group-pattern", help="Folder: regular expression for file names; its part in parentheses is the group."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def recommend(place: Path, profile: str, measures: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Advise on a source for your own images, without training on them.

    PLACE is a folder with a folder for each class, a CSV with columns path and label, or an .npz as MedMNIST publishes it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's start has nothing to say here
    from catscans_lib import recommend as advisor

    name = profile.removeprefix("results/").rstrip("/")
    told = advisor.recommend(place, name, measures=list(measures) or None, **given)
    click.echo(json.dumps(told) if as_json else advisor.text(told))


@main.command(hidden=True)
@click.argument("key", metavar="STEP/NAME")
@profile_option
@click.option("--planned", help="What the sweep has planned, as JSON; default: the row of the grid as it is now.")
def run(key: str, profile: str, planned: str | None) -> None:
    """Execute one run as the sweep does."""
    from catscans_lib import runner
    from catscans_lib.settings import STEPS
    from catscans_lib.validation import validated

    if planned:
        (step, name), plan = key.split("/"), json.loads(planned)
        planned = params.Run(step, name, validated(STEPS[step], plan["parameters"], key), tuple(plan["needs"]))
    else:
        planned = _planned(profile, (key,))[0]
    try:
        runner.execute(planned, profile)
    except runner.RunFailed as error:
        click.echo(f"catscans: {error}", err=True)
        sys.exit(1)


def _planned(profile: str, keys: tuple[str, ...]) -> list[params.Run]:
    runs = params.grid(profile)
    if wrong := [key for key in keys if key not in runs]:
        raise InputError(f"Unknown run '{wrong[0]}' of profile {profile}; known: {', '.join(runs)}.")
    return [runs[key] for key in keys]


def _sweep(profile: str, jobs: int | None, keys: tuple[str, ...]) -> None:
    from catscans_lib import provenance, runner

    runs = params.grid(profile)
    _planned(profile, keys)
    _check_folders(runs)
    before = provenance.current(profile, runs)
    os.environ |= {runner.STARTED: str(time.time()), runner.CURRENT: " ".join(before)}
    marks = [paths.relative(paths.run_dir(profile, *key.split("/")) / ".done") for key in keys]
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(paths.root() / "Snakefile"), "--directory", str(paths.root()),
        "--cores", str(jobs or _default_jobs()), "--keep-going", "--rerun-incomplete", "--quiet", "all",
        "--config", f"profile={profile}", "--", *marks,
    ]  # fmt: skip
    status = _snakemake(command)
    if not status and set(keys or runs) <= set(before):
        runner.say(f"nothing to do: all {len(keys or runs)} runs are there from these settings and this code")
    if status:
        current = provenance.current(profile, runs)  # a former result of a run that has changed is none
        missing = [key for key in (keys or runs) if key not in current]
        click.echo(f"catscans: the sweep stopped with {len(missing)} runs not done: {', '.join(missing)}.", err=True)
        click.echo(_planning_error(command), err=True, nl=False)
        click.echo(f"Finished runs are kept. Go on with: .venv/bin/catscans sweep --profile {profile}", err=True)
        sys.exit(1)


def _check_folders(runs: dict[str, params.Run]) -> None:
    """Fail before anything starts if a folder the grid reads is not given."""
    used = {variable for run in runs.values() for variable in run.inputs}
    if "CATSCANS_DATA" in used:
        paths.data_dir()
    if "CATSCANS_WEIGHTS" in used:
        paths.weights_dir()
    if paths.REFERENCE in used:
        paths.reference_dir()


def _planning_error(command: list[str]) -> str:
    """What Snakemake says if it cannot even plan the sweep; nothing where it can, for then the runs have said why they failed."""
    words = ["host" if word == "all" else word for word in command]  # all: say nothing; host: all but the machine
    words.insert(words.index("--"), "--dry-run")
    plan = subprocess.run(words, capture_output=True, text=True, check=False)
    return plan.stdout + plan.stderr if plan.returncode else ""


def _default_jobs() -> int:
    """One run more than there are cores, because a kernel waits while it starts; 2 GB of memory each; one on a GPU.

    Measured, demo, 2 cores: 9 min with two runs at a time, 8 min 14 s with three.
    """
    import joblib
    import psutil

    if Path("/dev/nvidia0").exists():  # TensorFlow takes the whole memory of a GPU
        return 1
    return max(1, min(joblib.cpu_count() + 1, psutil.virtual_memory().total // 2**31))


def _snakemake(command: list[str]) -> int:
    """Run Snakemake in the terminal's foreground; a lock left by a killed sweep is removed first."""
    with _one_sweep_at_a_time() as lock:
        if any((paths.root() / ".snakemake" / "locks").glob("*")):
            subprocess.run([*command[: command.index("--")], "--unlock"], capture_output=True, check=False)
        # Snakemake holds our lock too: should this process be killed, it goes on until its runs have ended.
        with subprocess.Popen(command, pass_fds=[lock.fileno()]) as process:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:  # Ctrl-C reached Snakemake too, which now ends its runs
                    continue


@contextmanager
def _one_sweep_at_a_time() -> Iterator[TextIO]:
    """Hold the folder's lock; the system releases it when its last holder ends, however that happens."""
    path = paths.root() / ".snakemake" / "catscans.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"Another sweep is at work in {paths.root()}. Wait until it has ended, or stop it with Ctrl-C first."
            ) from None
        yield lock


if __name__ == "__main__":
    main()
