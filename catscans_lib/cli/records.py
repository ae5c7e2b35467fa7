"""The commands about run records: list, show and compare them."""

import json
from typing import Any

import click

from catscans_lib import paths
from catscans_lib.errors import InputError, unknown
from catscans_lib.grid import profiles

profile_option = click.option("--profile", default="demo", show_default=True, help="Profile whose records to read.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
run_option = click.option("--run", help="Only records of this step (STEP) or of this run (STEP/NAME).")
RECORD = "RECORD is the number of a record, the id of a result, or a run (STEP/NAME): its latest record."


@click.group()
def records() -> None:
    """List, show and compare the records of runs."""


@records.command(epilog="Example: catscans records ls --run transfer")
@profile_option
@run_option
@json_option
def ls(profile: str, run: str | None, as_json: bool) -> None:
    """List the records, the latest last."""
    from catscans_lib.runs.records import tables

    found = _selected(profile, run)
    click.echo(_json([tables.summary(record) for record in found]) if as_json else tables.list_text(found))


@records.command(epilog=f"{RECORD} Example: catscans records show transfer/dtd--chest")
@click.argument("name", metavar="RECORD")
@profile_option
@json_option
def show(name: str, profile: str, as_json: bool) -> None:
    """Print one record."""
    from catscans_lib.runs.records import reading, tables

    record = reading.find(profile, name)
    click.echo(_json(record.as_dict()) if as_json else tables.record_text(record))


@records.command(epilog=f"{RECORD} Examples: catscans records diff 12 40; catscans records diff demo short")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@profile_option
@json_option
def diff(a: str, b: str, profile: str, as_json: bool) -> None:
    """Compare two records, or two profiles.

    Of records A and B: parameters, code, data, versions, machine, results. Of profiles, such as the study and an experiment
    (`sweep --as`): the settings that differ, and the AUCs side by side.
    """
    from catscans_lib.runs.records import reading, tables

    known = profiles.names()
    pair = [next((name for name in (word, f"{profile}+{word}") if name in known), None) for word in (a, b)]
    if any(pair) and not all(pair):
        raise unknown("profile or experiment", (a, b)[pair.index(None)], known)
    if all(pair):
        click.echo(_json(tables.compared_profiles(*pair)) if as_json else tables.compared_profiles_text(*pair))
        return
    left, right = reading.find(profile, a), reading.find(profile, b)
    click.echo(_json(tables.differences(left, right)) if as_json else tables.differences_text(left, right))


@records.command(epilog="Example: catscans records table > runs.csv")
@profile_option
@run_option
def table(profile: str, run: str | None) -> None:
    """Print the records as CSV, with a column for every parameter and result."""
    from catscans_lib.runs.records import tables

    click.echo(tables.table(_selected(profile, run)).to_csv(index=False), nl=False)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=str)


def _selected(profile: str, run: str | None) -> list[Any]:
    from catscans_lib.runs.records import reading

    found = reading.load(profile)
    selected = [record for record in found if run is None or run in (record.key, record.key.split("/")[0])]
    if selected:
        return selected
    known = ", ".join(dict.fromkeys(record.key.split("/")[0] for record in found)) or "none"
    raise InputError(
        f"No records{f' of {run}' if run else ''} in {paths.relative(paths.records_dir(profile))}; "
        f"steps with records: {known}. A sweep writes them: .venv/bin/catscans sweep --profile {profile}"
    )
