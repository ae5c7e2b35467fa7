"""The commands about run records: list, show and compare them."""

from typing import Any

import click
import yaml

from catscans_lib import paths
from catscans_lib.errors import InputError, unknown
from catscans_lib.grid import profiles

profile_option = click.option("--profile", default="demo", show_default=True, help="Profile whose records to read.")
run_option = click.option("--run", help="Only records of this step (STEP) or of this run (STEP/NAME).")
RECORD = "RECORD is the number of a record, the id of a result, or a run (STEP/NAME): its latest record."


@click.group()
def records() -> None:
    """List, show and compare the records of runs."""


@records.command(epilog="Example: catscans records ls --run transfer")
@profile_option
@run_option
def ls(profile: str, run: str | None) -> None:
    """List the records, the latest last."""
    from catscans_lib.runs.records import reading, tables

    rows = [{name: record[name] for name in reading.SUMMARY} for record in _selected(profile, run)]
    click.echo(tables.aligned([row | {"commit": row["commit"][:12] + row["commit"][40:]} for row in rows]))


@records.command(epilog=f"{RECORD} Example: catscans records show transfer/dtd--chest")
@click.argument("name", metavar="RECORD")
@profile_option
def show(name: str, profile: str) -> None:
    """Print one record, as YAML; then the printed output and the error."""
    from catscans_lib.runs.records import reading

    record = reading.find(profile, name)
    record["results"] = reading.results(profile, record)
    texts = {part: text for part in ("output", "error") if (text := record.pop(part).rstrip())}
    click.echo(yaml.safe_dump(record, sort_keys=False, width=120).rstrip())
    for part, text in texts.items():
        click.echo(f"\n{part}\n{text}")


@records.command(epilog=f"{RECORD} Examples: catscans records diff 12 40; catscans records diff demo short")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@profile_option
def diff(a: str, b: str, profile: str) -> None:
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
        found = tables.compared_profiles(*pair)
        heads = {side: f"AUC {name}" for side, name in zip("ab", pair, strict=True)}
        aucs = tables.aligned(found["aucs"], heads) if found["aucs"] else "AUCs: none yet in either"
        click.echo(f"{tables.changes({'settings': found['settings']})}\n\n{aucs}")
    else:
        both = [reading.find(profile, name) for name in (a, b)]
        summaries = tables.aligned([{name: record[name] for name in reading.SUMMARY} for record in both])
        click.echo(f"{summaries}\n\n{tables.changes(tables.differences(profile, *both))}")


@records.command(epilog="Example: catscans records table > runs.csv")
@profile_option
@run_option
def table(profile: str, run: str | None) -> None:
    """Print the records as CSV, with a column for every parameter and result."""
    from catscans_lib.runs.records import tables

    click.echo(tables.table(profile, _selected(profile, run)).to_csv(index=False), nl=False)


def _selected(profile: str, run: str | None) -> list[dict[str, Any]]:
    from catscans_lib.runs.records import reading

    found = reading.load(profile)
    selected = [record for record in found if run is None or run in (record["run"], record["run"].split("/")[0])]
    if selected:
        return selected
    known = ", ".join(dict.fromkeys(record["run"].split("/")[0] for record in found)) or "none"
    raise InputError(
        f"No records{f' of {run}' if run else ''} in {paths.relative(paths.records_dir(profile))}; "
        f"steps with records: {known}. A sweep writes them: .venv/bin/catscans sweep --profile {profile}"
    )
