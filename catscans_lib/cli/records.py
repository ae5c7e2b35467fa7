"""The commands about run records: list them, look at one, compare two, take them elsewhere."""

from pathlib import Path
from typing import Any

import click

from catscans_lib import paths
from catscans_lib.errors import InputError

profile_option = click.option("--profile", default="demo", show_default=True, help="Whose records.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
run_option = click.option("--run", help="Only records of this step, or of this run (STEP/NAME).")
NAMED = "A record is named by its number, by the id of its result, or by the run (STEP/NAME): its latest record."


@click.group(epilog=NAMED)
def records() -> None:
    """Look at the records of runs, compare them, take them elsewhere."""


@records.command()
@profile_option
@run_option
@json_option
def ls(profile: str, run: str | None, as_json: bool) -> None:
    """List the records, the latest last."""
    from catscans_lib.runs.records import comparing, printing

    found = _chosen(profile, run)
    if as_json:
        click.echo(printing.as_json([{key: comparing.row(r).get(key) for key in comparing.SHOWN} for r in found]))
        return
    click.echo(printing.listing(found))


@records.command(epilog=NAMED)
@click.argument("name", metavar="RECORD")
@profile_option
@json_option
def show(name: str, profile: str, as_json: bool) -> None:
    """Print what a record says."""
    from catscans_lib.runs.records import printing, reading

    record = reading.find(profile, name)
    click.echo(printing.as_json(reading.content(record)) if as_json else printing.page(record))


@records.command(epilog=NAMED)
@click.argument("a", metavar="RECORD")
@click.argument("b", metavar="RECORD")
@profile_option
@json_option
def diff(a: str, b: str, profile: str, as_json: bool) -> None:
    """Say what differs between two records: parameters, code, data, versions, machine, results."""
    from catscans_lib.runs.records import comparing, printing, reading

    left, right = reading.find(profile, a), reading.find(profile, b)
    click.echo(printing.as_json(comparing.diff(left, right)) if as_json else printing.diff(left, right))


@records.command()
@profile_option
@run_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: every parameter and result is a column.")
@json_option
def table(profile: str, run: str | None, as_csv: bool, as_json: bool) -> None:
    """Print the records as a table, with results."""
    from catscans_lib.runs.records import comparing, printing

    found = comparing.table(_chosen(profile, run))
    if as_csv:
        click.echo(found.to_csv(index=False), nl=False)
    else:
        click.echo(found.to_json(orient="records", indent=2) if as_json else printing.table(found))


@records.command()
@profile_option
@run_option
@click.option(
    "--to", "target", type=click.Choice(["mlflow", "neptune"]), required=True, help="What to convert them to."
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def export(profile: str, run: str | None, target: str, folder: Path) -> None:
    """Convert the records of runs that have ended; those that are in FOLDER already are left alone.

    mlflow: runs to browse with `mlflow ui`. neptune: offline runs, written by Neptune's own observer for Sacred.
    """
    from catscans_lib.runs.records import exports

    said = exports.export(target, _chosen(profile, run), folder, experiment=f"catscans {profile}")
    click.echo(said.rstrip())


def _chosen(profile: str, run: str | None) -> list[Any]:
    from catscans_lib.runs.records import reading

    found = reading.load(profile)
    chosen = [record for record in found if run is None or run in (record.key, record.key.split("/")[0])]
    if not chosen:
        known = ", ".join(dict.fromkeys(record.key.split("/")[0] for record in found)) or "none"
        place = paths.relative(paths.records_dir(profile))
        raise InputError(
            f"No records{f' of {run}' if run else ''} in {place}; steps that have some: {known}. "
            f"A sweep writes them: .venv/bin/catscans sweep --profile {profile}"
        )
    return chosen
