"""Commands about a sweep: check its grid, plan it, run it or one of its runs, build its book, delete what it no longer needs."""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from catscans_lib import paths
from catscans_lib.errors import and_more, validated
from catscans_lib.grid import expand, experiments, profiles
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import leftovers

profile_option = click.option("--profile", default="demo", show_default=True, help="Grid in params/<profile>.yaml.")


class _Sweep(click.Command):
    """Has `RUN_OPTIONS`; passes the words after `--` on as `options` for Snakemake, and `--fraction` as one of the changes."""

    def __init__(self, *, params: list[click.Parameter], **given: Any) -> None:
        super().__init__(params=[*params, *RUN_OPTIONS], **given)

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        end = words.index("--") if "--" in words else len(words)
        left = super().parse_args(context, words[:end])
        context.params["options"] = tuple(words[end + 1 :])
        if fraction := context.params.pop("fraction"):
            context.params["changes"] += (f"transfer.fraction={fraction:g}",)
        return left


@click.command(epilog="Example: catscans check --profile paper")
@profile_option
def check(profile: str) -> None:
    """Validate a grid and its notebooks without running anything."""
    counts = Counter(run.step for run in expand.grid(profile).values())
    profiles.check_measure(profile)
    click.echo(f"params/{profile}.yaml is valid: " + ", ".join(f"{n} {step}" for step, n in counts.items()) + ".")


RUN_OPTIONS = (
    click.Option(
        ["--set", "changes"], multiple=True, metavar="NAME=VALUE",
        help="Change the grid for an experiment beside the study. Repeatable.",
    ),
    click.Option(
        ["--fraction"], type=click.FloatRange(0, 1, min_open=True),
        help="Run a balanced part of the pairs of source and target: --set transfer.fraction=VALUE.",
    ),
    click.Option(
        ["--as", "name"], metavar="NAME",
        help="Name of the experiment; its results are those of the profile PROFILE+NAME. Default: made from --set.",
    ),
    click.Option(
        ["-j", "--jobs"], type=click.IntRange(1),
        help="Runs at a time. Default: what cores and memory allow; 1 on a GPU; on a cluster, its profile's number.",
    ),
    click.Option(["--cluster"], help="A profile in params/cluster/ that says where runs execute. Default: this machine."),
    click.Option(["--trust"], is_flag=True, help="Keep finished runs although their code has changed."),
    click.Option(["--dry-run", "-n"], is_flag=True, help="Print the plan without starting anything."),
)  # fmt: skip


@click.command(cls=_Sweep, epilog="Example: catscans sweep --set transfer.epochs=5 --as short --dry-run")
@click.argument("keys", nargs=-1, metavar="[STEP/NAME]...")
@profile_option
def sweep(keys: tuple[str, ...], profile: str, changes: tuple[str, ...], name: str | None, **given: Any) -> None:
    """Run a grid, or selected runs and what they need; finished runs are kept.

    'transfer/*--chest' selects all runs of such names. Options after -- go to Snakemake. Exit status: 0 all done, 1 some runs
    failed, 2 bad input and nothing started.
    """
    from catscans_lib.runs.execute import timed

    with experiments.defined(profile, changes, name, keep=not given["dry_run"]) as profile, timed() as started:
        sys.exit(_run(profile, started, keys, **given))


def _run(
    profile: str, started: float, keys: tuple[str, ...] = (), *, jobs: int | None,
    cluster: str | None, trust: bool, dry_run: bool, options: tuple[str, ...],
) -> int:  # fmt: skip
    """Print the plan of a sweep and start it; return its exit status."""
    from catscans_lib.sweep import engine, plan, selection

    runs = expand.grid(profile)
    profiles.check_measure(profile)
    chosen = tuple(selection.select(runs, keys)) if keys else None
    kept = selection.outdated_by_code(profile, runs) if trust else []
    if kept:
        click.echo(f"Kept although their code has changed (--trust): {and_more(kept)}.")
    if not dry_run:
        selection.trust(profile, kept, runs)
    task = engine.Sweep(profile, chosen, jobs, cluster, options)
    prepared = engine.prepare(task, dry_run=dry_run)
    needed = selection.with_needs(runs, list(chosen or runs))
    done = list({*prepared.done, *kept}) if dry_run else prepared.done
    said = plan.text(profile, runs, done, needed, with_gpu=task.has_gpu, n_parallel=task.n_parallel)
    shared = Counter(prepared.shared.values())
    lines = [f"  copied from results/{other}: {n} runs with the same recipe" for other, n in shared.items()]
    click.echo("\n".join([said, *lines, *selection.describe_outdated(profile, runs, [*prepared.done, *kept])]))
    return engine.plan_only(task) if dry_run else engine.run(task, prepared, started)


@click.command(cls=_Sweep, epilog="Example: catscans book --profile demo --no-sweep")
@profile_option
@click.option(
    "--no-sweep", is_flag=True, help="Run nothing: build from finished runs, and name the others on the front page."
)
@click.option(
    "--evidence", is_flag=True, help="Only run the published evidence, then build the book with what is there."
)
def book(
    profile: str, changes: tuple[str, ...], name: str | None, no_sweep: bool, evidence: bool, **given: Any
) -> None:
    """Run the grid and build the book; the last line printed is the path of its front page."""
    from catscans_lib.runs.execute import say, timed
    from catscans_lib.sweep import selection

    with experiments.defined(profile, changes, name, keep=not given["dry_run"]) as profile, timed() as started:
        if not no_sweep:
            keys = ("evidence/all",) if evidence else ()
            status = _run(profile, started, keys, **given)
            if status == 1:
                how = f".venv/bin/catscans book --profile {profile} --no-sweep"
                click.echo(f"Book of the finished runs: {how}", err=True)
            if status or given["dry_run"]:
                sys.exit(status)
        gaps = selection.gaps(profile) if no_sweep else {}
        for what, keys in gaps.items():
            click.echo(f"{what.capitalize()} runs ({len(keys)}): {and_more(keys)}.")
        if given["dry_run"]:
            click.echo(f"Without --dry-run, the book of profile {profile} would be built from its finished runs.")
            return
        say(f"building the book of profile {profile}")
        from catscans_lib.book import build, citation

        index = build(profile, gaps)
        say(f"built the book of profile {profile}")
        if lacking := citation.cited()["gaps"]:
            click.echo(f"To cite it, the book does not state: {'; '.join(lacking)}.")
    click.echo(paths.relative(index))


@click.command(hidden=True, epilog="Example: catscans run transfer/dtd--chest --profile demo")
@click.argument("key", metavar="STEP/NAME")
@profile_option
@click.option(
    "--planned", type=click.Path(path_type=Path), help="File with the runs as planned. Default: the grid now."
)
def run(key: str, profile: str, planned: Path | None) -> None:
    """Execute one run as the sweep does."""
    from catscans_lib.runs import execute
    from catscans_lib.sweep import failures, selection

    if planned is None:
        runs = expand.grid(profile)
        wanted = runs[selection.select(runs, (key,))[0]]
    else:
        (step, name), plan = key.split("/"), json.loads(planned.read_text(encoding="utf-8"))[key]
        settings = validated(STEPS[step].settings, plan["parameters"], key)
        wanted = expand.PlannedRun(step, name, settings, tuple(plan["needs"]))
    try:
        execute.execute(wanted, profile)
    except execute.RunFailed as error:
        failures.note(profile, key, str(error))
        click.echo(f"catscans: {error}", err=True)
        sys.exit(1)


@click.command(epilog="Example: catscans clean --what features --what records --older 30d --dry-run")
@click.option(
    "--what", "kinds", type=click.Choice(list(leftovers.KINDS)), multiple=True, required=True,
    help="features: caches; records: of executions that failed or were replaced; scratch: of notebooks by hand. Repeatable.",
)  # fmt: skip
@click.option("--older", default="1d", show_default=True, metavar="AGE", help="Last written so long ago: 12h, 30d, 8w.")
@click.option("--profile", default="demo", show_default=True, help="Profile whose folders to clean.")
@click.option("--dry-run", "-n", is_flag=True, help="Print what would be deleted, with sizes; delete nothing.")
def clean(kinds: tuple[str, ...], older: str, profile: str, dry_run: bool) -> None:
    """Delete what no finished run needs, and print the sizes.

    Runs, tables, networks, image stores and the records of finished runs always stay. Refused while a sweep runs.
    """
    from catscans_lib.sweep import engine

    age, now = leftovers.seconds(older), time.time()
    with engine.one_sweep_at_a_time():
        found = [one for kind in dict.fromkeys(kinds) for one in leftovers.find(profile, kind, age, now=now)]
        for one in found:
            days = (now - one.written) / 86400
            click.echo(f"{one.n_bytes / 1e6:9.1f} MB  {days:5.0f} days old  {paths.relative(one.path)}")
        if not dry_run:
            leftovers.delete(found)
    size = sum(one.n_bytes for one in found) / 1e6
    done = "would be deleted (--dry-run)" if dry_run else "deleted"
    click.echo(f"{size:.1f} MB in {len(found)} files and folders {done}.")
