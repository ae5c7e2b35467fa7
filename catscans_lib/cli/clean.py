"""The command that deletes what no finished run needs."""

import time

import click

from catscans_lib import paths
from catscans_lib.runs import leftovers


@click.command(epilog="Example: catscans clean --what features --what records --older 30d --dry-run")
@click.option(
    "--what", "kinds", type=click.Choice(list(leftovers.KINDS)), multiple=True, required=True,
    help="features: caches; records: of executions that failed or were replaced; scratch: of notebooks by hand. Repeatable.",
)  # fmt: skip
@click.option(
    "--older",
    default="1d",
    show_default=True,
    metavar="AGE",
    help="Only what was last written so long ago: 12h, 30d, 8w.",
)
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
