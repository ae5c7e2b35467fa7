"""The commands about the sweep: check its grid, plan it, run it or one run of it, build its book."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.grid import expand, overrides, profiles
from catscans_lib.sweep import selection

PASSED_ON = "catscans.passed_on"  # what stands after --


def profile_option(command: Callable) -> Callable:
    """Add the option that names the grid."""
    return click.option("--profile", default="demo", show_default=True, help="Grid in params/<profile>.yaml.")(command)


def jobs_option(command: Callable) -> Callable:
    """Add the option that says how many runs go at a time."""
    told = "Runs at a time; default: what cores and memory allow, 1 on a GPU; on a cluster as its profile says."
    return click.option("-j", "--jobs", type=click.IntRange(1), help=told)(command)


class _PassesOn(click.Command):
    """Keeps what stands after `--` apart from the arguments."""

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        end = words.index("--") if "--" in words else len(words)
        context.meta[PASSED_ON] = tuple(words[end + 1 :])
        return super().parse_args(context, words[:end])


@click.command()
@profile_option
def check(profile: str) -> None:
    """Validate a grid and the notebooks it runs; nothing is started."""
    runs = expand.grid(profile)
    counts = {
        step: sum(run.step == step for run in runs.values()) for step in dict.fromkeys(r.step for r in runs.values())
    }
    click.echo(f"params/{profile}.yaml is valid: " + ", ".join(f"{n} {step}" for step, n in counts.items()) + ".")


@click.command()
@profile_option
def grid(profile: str) -> None:
    """Print every run of a grid with its parameters, one JSON object a line."""
    for run in expand.grid(profile).values():
        click.echo(json.dumps({"run": run.key, "needs": run.needs, "parameters": run.parameters}))


@click.command(cls=_PassesOn)
@click.argument("given", nargs=-1, metavar="[params/GRID.yaml] [STEP/NAME]...")
@profile_option
@jobs_option
@click.option("--only", multiple=True, metavar="NAME=VALUE", help="Only runs with this parameter; may be repeated.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change the grid for now; may be repeated.")
@click.option("--cluster", help="Where runs go: a profile in params/cluster/; default: this machine.")
@click.option("--trust", is_flag=True, help="Keep finished runs though the code behind them has changed since.")
@click.option("--dry-run", "-n", is_flag=True, help="Print the plan and start nothing.")
@click.pass_context
def sweep(
    context: click.Context, given: tuple[str, ...], profile: str, jobs: int | None, only: tuple[str, ...],
    changes: tuple[str, ...], cluster: str | None, trust: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Run a grid, or only some runs and what they need; finished runs are kept.

    Snakemake's own options may follow after --. Status 0: all is done; 1: runs failed; 2: bad input, nothing was started.
    """
    from catscans_lib.runs.execute import timed
    from catscans_lib.sweep import engine, plan, trusting

    profile, keys = _grid_and_keys(given, profile)
    _change(profile, changes)
    chosen = None
    if keys or only:
        chosen = tuple(selection.select(expand.grid(profile), keys, tuple(overrides.parsed(only, "--only"))))
    task = engine.Sweep(profile, chosen, jobs, cluster, context.meta[PASSED_ON])
    runs = expand.grid(profile)
    if outdated := trusting.outdated(profile, runs):
        click.echo(trusting.told(outdated, runs, kept=trust))
    if trust and not dry_run:
        trusting.keep(profile, outdated, runs)
    runs, before = engine.prepare(task)
    click.echo(
        plan.text(profile, runs, before, selection.with_needs(runs, list(chosen or runs)), with_gpu=task.has_gpu)
    )
    if dry_run:
        sys.exit(engine.planned(task))
    with timed() as started:
        sys.exit(engine.run(task, runs, before, started))


@click.command(epilog="Example: catscans book --profile demo")
@profile_option
@jobs_option
def book(profile: str, jobs: int | None) -> None:
    """Run the grid and build the book; the last line printed is the path of its front page."""
    from catscans_lib.runs.execute import say, timed
    from catscans_lib.sweep import engine

    task = engine.Sweep(profile, jobs=jobs)
    with timed() as started:
        if status := engine.run(task, *engine.prepare(task), started):
            sys.exit(status)
        say(f"building the book of profile {profile}")
        from catscans_lib.book import build

        index = build(profile)
        say(f"built the book of profile {profile}")
    click.echo(paths.relative(index))


@click.command(epilog="Example: catscans pdf --profile demo")
@profile_option
def pdf(profile: str) -> None:
    """Print the chapters of a built book as one PDF, with Chromium; the last line printed is its path."""
    from catscans_lib.book.pdf import print_pdf

    click.echo(paths.relative(print_pdf(profile)))


@click.command(hidden=True)
@click.argument("key", metavar="STEP/NAME")
@profile_option
@click.option("--planned", help="What the sweep has planned, as JSON; default: the row of the grid as it is now.")
@click.option("--folds", type=int, nargs=2, help="Of a transfer only these folds: the first, and how many.")
def run(key: str, profile: str, planned: str | None, folds: tuple[int, int] | None) -> None:
    """Execute one run as the sweep does."""
    from catscans_lib.runs import execute
    from catscans_lib.sweep import failures, fold_jobs

    wanted = _planned(key, json.loads(planned)) if planned else _of_grid(key, profile)
    try:
        if folds:
            fold_jobs.execute(wanted, profile, *folds)
        else:
            execute.execute(wanted, profile)
    except execute.RunFailed as error:
        failures.note(profile, key, str(error))
        click.echo(f"catscans: {error}", err=True)
        sys.exit(1)


def _planned(key: str, plan: dict[str, Any]) -> expand.PlannedRun:
    from catscans_lib.errors import validated
    from catscans_lib.grid.steps import STEPS

    step, name = key.split("/")
    return expand.PlannedRun(step, name, validated(STEPS[step].settings, plan["parameters"], key), tuple(plan["needs"]))


def _of_grid(key: str, profile: str) -> expand.PlannedRun:
    runs = expand.grid(profile)
    selection.select(runs, (key,))
    return runs[key]


def _grid_and_keys(given: tuple[str, ...], profile: str) -> tuple[str, tuple[str, ...]]:
    """Tell files of grids from names of runs."""
    files = [word for word in given if word.endswith((".yaml", ".yml"))]
    if len(files) > 1:
        raise InputError(f"Got {len(files)} grids: {', '.join(files)}. A sweep runs one; start one after the other.")
    if files:
        path = Path(files[0])
        if not path.is_file():
            path = paths.root() / path
        profile = path.stem
        if path.resolve() != paths.params_path(profile).resolve():
            raise InputError(
                f"Got the grid {files[0]}; a grid lies in {paths.relative(paths.params_path('x').parent)}/. "
                f"Known: {', '.join(profiles.names())}."
            )
    return profile, tuple(word for word in given if word not in files)


def _change(profile: str, changes: tuple[str, ...]) -> None:
    """Let this sweep and all its runs read the grid with these changes, once they are found to be valid."""
    os.environ[overrides.VARIABLE] = json.dumps(dict(overrides.parsed(changes)))
    expand.grid(profile)
    for name, value in overrides.given().items():
        click.echo(f"--set: {', '.join(profiles.changed_places(profile, name))} = {value}, for this sweep")
