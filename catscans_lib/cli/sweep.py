"""Commands about a sweep: check its grid, plan it, run it or one of its runs, build its book."""

import json
import os
import sys
from collections import Counter
from pathlib import Path

import click

from catscans_lib import paths
from catscans_lib.errors import InputError, validated
from catscans_lib.grid import expand, overrides, profiles
from catscans_lib.grid.steps import STEPS

FOR_SNAKEMAKE = "catscans.for_snakemake"  # the words after --


profile_option = click.option("--profile", default="demo", show_default=True, help="Grid in params/<profile>.yaml.")
jobs_option = click.option(
    "-j", "--jobs", type=click.IntRange(1),
    help="Runs at a time. Default: what cores and memory allow; 1 on a GPU; on a cluster, its profile's number.",
)  # fmt: skip
cluster_option = click.option(
    "--cluster", help="A profile in params/cluster/ that says where runs execute. Default: this machine."
)


class _WithSnakemakeOptions(click.Command):
    """Keeps the words after `--` apart from the arguments."""

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        end = words.index("--") if "--" in words else len(words)
        context.meta[FOR_SNAKEMAKE] = tuple(words[end + 1 :])
        return super().parse_args(context, words[:end])


@click.command(epilog="Example: catscans check --profile paper")
@profile_option
def check(profile: str) -> None:
    """Validate a grid and its notebooks without running anything."""
    counts = Counter(run.step for run in expand.grid(profile).values())
    profiles.check_measure(profile)
    click.echo(f"params/{profile}.yaml is valid: " + ", ".join(f"{n} {step}" for step, n in counts.items()) + ".")


@click.command(cls=_WithSnakemakeOptions, epilog="Example: catscans sweep --only target=chest --set epochs=5 --dry-run")
@click.argument("words", nargs=-1, metavar="[params/GRID.yaml] [STEP/NAME]...")
@profile_option
@jobs_option
@click.option("--only", multiple=True, metavar="NAME=VALUE", help="Only runs with this parameter. Repeatable.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change this sweep's grid. Repeatable.")
@cluster_option
@click.option("--trust", is_flag=True, help="Keep finished runs although their code has changed.")
@click.option("--dry-run", "-n", is_flag=True, help="Print the plan without starting anything.")
@click.pass_context
def sweep(
    context: click.Context, words: tuple[str, ...], profile: str, jobs: int | None, only: tuple[str, ...],
    changes: tuple[str, ...], cluster: str | None, trust: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Run a grid, or selected runs and what they need; finished runs are kept.

    Options after -- go to Snakemake. Exit status: 0 all done, 1 some runs failed, 2 bad input and nothing started.
    """
    from catscans_lib.runs.execute import timed
    from catscans_lib.sweep import engine, plan, selection

    profile, keys = _profile_and_keys(words, profile)
    os.environ[overrides.VARIABLE] = json.dumps(dict(overrides.parsed(changes)))  # read by all runs of this sweep
    runs = expand.grid(profile)
    profiles.check_measure(profile)
    for name, value in overrides.given().items():
        click.echo(f"--set: {', '.join(profiles.changed_places(profile, name))} = {value}, for this sweep")
    chosen = None
    if keys or only:
        chosen = tuple(selection.select(runs, keys, tuple(overrides.parsed(only, "--only"))))
    if outdated := selection.outdated_by_code(profile, runs):
        click.echo(selection.describe_outdated(outdated, runs, kept=trust))
    if trust and not dry_run:
        selection.trust(profile, outdated, runs)
    task = engine.Sweep(profile, chosen, jobs, cluster, context.meta[FOR_SNAKEMAKE])
    runs, done = engine.prepare(task)
    needed = selection.with_needs(runs, list(chosen or runs))
    click.echo(plan.text(profile, runs, done, needed, with_gpu=task.has_gpu))
    if dry_run:
        sys.exit(engine.plan_only(task))
    with timed() as started:
        sys.exit(engine.run(task, runs, done, started))


@click.command(epilog="Example: catscans book --profile demo")
@profile_option
@jobs_option
@cluster_option
@click.option(
    "--evidence", is_flag=True, help="Only run the published evidence, then build the book with what is there."
)
def book(profile: str, jobs: int | None, cluster: str | None, evidence: bool) -> None:
    """Run the grid and build the book; the last line printed is the path of its front page."""
    from catscans_lib.runs.execute import say, timed
    from catscans_lib.sweep import engine

    task = engine.Sweep(profile, ("evidence/all",) if evidence else None, jobs, cluster)
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


@click.command(hidden=True, epilog="Example: catscans run transfer/dtd--chest --profile demo")
@click.argument("key", metavar="STEP/NAME")
@profile_option
@click.option("--planned", help="The run as the sweep has planned it, as JSON. Default: the grid as it is now.")
@click.option("--folds", type=int, nargs=2, help="Train only these folds of a transfer: the first, and how many.")
def run(key: str, profile: str, planned: str | None, folds: tuple[int, int] | None) -> None:
    """Execute one run as the sweep does."""
    from catscans_lib.runs import execute
    from catscans_lib.sweep import failures

    wanted = _planned(key, profile, planned)
    try:
        if folds:
            execute.execute_folds(wanted, profile, *folds)
        else:
            execute.execute(wanted, profile)
    except execute.RunFailed as error:
        failures.note(profile, key, str(error))
        click.echo(f"catscans: {error}", err=True)
        sys.exit(1)


def _planned(key: str, profile: str, planned: str | None) -> expand.PlannedRun:
    from catscans_lib.sweep import selection

    if planned is None:
        runs = expand.grid(profile)
        return runs[selection.select(runs, (key,))[0]]
    (step, name), plan = key.split("/"), json.loads(planned)
    return expand.PlannedRun(step, name, validated(STEPS[step].settings, plan["parameters"], key), tuple(plan["needs"]))


def _profile_and_keys(words: tuple[str, ...], profile: str) -> tuple[str, tuple[str, ...]]:
    """Separate the file of a grid from the names of runs."""
    files = [word for word in words if word.endswith((".yaml", ".yml"))]
    if len(files) > 1:
        raise InputError(f"Got {len(files)} grids: {', '.join(files)}. Start one sweep after the other.")
    if files:
        path = Path(files[0])
        if not path.is_file():
            path = paths.root() / path
        profile = path.stem
        if path.resolve() != paths.params_path(profile).resolve():
            folder = paths.relative(paths.params_path("x").parent)
            raise InputError(f"Got the grid {files[0]}; grids are in {folder}/. Known: {', '.join(profiles.names())}.")
    return profile, tuple(word for word in words if word not in files)
