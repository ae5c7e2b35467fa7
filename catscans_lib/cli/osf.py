"""The commands about results on the Open Science Framework: push, pull, status, verify."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from catscans_lib.errors import InputError
from catscans_lib.sharing.osf.place import BASE_URL, N_JOBS, RATE, Place

N_SHOWN = 20
OPTIONS = (
    click.argument("folder", type=click.Path(path_type=Path, file_okay=False)),
    click.option(
        "--project", envvar="OSF_PROJECT", required=True, help="ID of the project or component, as in osf.io/ID."
    ),
    click.option("--node", metavar="PATH", help="Folder in the project's storage; default: the name of FOLDER."),
    click.option("--jobs", type=click.IntRange(1, 32), default=N_JOBS, show_default=True, help="Files at a time."),
    click.option(
        "--rate", type=click.FloatRange(0.01), default=RATE, show_default=True, help="Requests a second, at most."
    ),
    click.option("--base-url", envvar="CATSCANS_OSF_URL", default=BASE_URL, hidden=True),
)
force_option = click.option("--force", is_flag=True, help="Also over what was changed on the other side.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which folder and which copy."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.group()
def osf() -> None:
    """Keep results on the Open Science Framework (osf.io).

    The token is read from OSF_TOKEN, or from the keyring (keyring set osf.io token). Public projects are pulled without one.
    """


@osf.command()
@place_options
@click.option(
    "--zip/--no-zip", "packed", default=None, help="A zip for each run, or plain files; default: as it is there."
)
@force_option
@dry_run_option
def push(packed: bool | None, force: bool, dry_run: bool, **given: Any) -> None:
    """Send the results in FOLDER that OSF has not.

    What somebody else has changed there is named and left alone. Interrupted, the same command goes on.
    """
    from catscans_lib.sharing.osf import push as pushing

    done = pushing.push(_place(**given, must_exist=True), packed=packed, force=force, dry_run=dry_run)
    _say("to send" if dry_run else "sent", done.move, done.same, done.conflicts, dry_run)


@osf.command()
@place_options
@force_option
@dry_run_option
def pull(force: bool, dry_run: bool, **given: Any) -> None:
    """Fetch to FOLDER what its copy's manifest lists and is not here.

    Runs that are pulled count as done. What was changed here is named and left alone. Interrupted, the same command goes on.
    """
    from catscans_lib.sharing.osf import pull as pulling

    done = pulling.pull(_place(**given), force=force, dry_run=dry_run)
    _say("to fetch" if dry_run else "fetched", done.move, done.same, done.conflicts, dry_run)


@osf.command()
@place_options
def status(**given: Any) -> None:
    """Say how FOLDER and its copy differ; nothing is sent or fetched."""
    from catscans_lib.sharing.osf import look

    found = look.status(_place(**given, must_exist=True))
    click.echo(
        f"{len(found.to_push):,} to push, {len(found.to_pull):,} to pull, {len(found.conflicts):,} changed on both sides, "
        f"{len(found.same):,} the same."
    )
    _list("to push", found.to_push)
    _list("to pull", found.to_pull)
    _list("both", (f"{path}: {why}" for path, why in found.conflicts.items()))
    _list("on OSF, in no manifest", found.unlisted)


@osf.command()
@place_options
def verify(**given: Any) -> None:
    """Check by checksum that FOLDER and OSF both hold what the manifest lists; exit status 1 if not."""
    from catscans_lib.sharing.osf import look

    n_files, problems = look.verify(_place(**given, must_exist=True))
    if not n_files:
        raise InputError("There is no manifest to check against. Push first.")
    click.echo(f"{n_files - len(problems):,} of {n_files:,} files are right here and on OSF.")
    _list("wrong", (f"{path}: {problem}" for path, problem in problems.items()))
    if problems:
        sys.exit(1)


def _place(
    folder: Path, project: str, node: str | None, jobs: int, rate: float, base_url: str, must_exist: bool = False
) -> Place:  # fmt: skip
    if must_exist and not folder.is_dir():
        raise InputError(f"No folder '{folder}'. Give one with results, such as results/demo.")
    return Place(folder, project, (node or folder.resolve().name).strip("/"), base_url, jobs, rate)


def _say(what: str, moved: list, same: list, conflicts: dict[str, str], is_dry: bool) -> None:
    n_bytes = sum(entry.n_bytes for entry in moved)
    click.echo(f"{len(moved):,} files ({n_bytes:,} bytes) {what}, {len(same):,} the same already.")
    if is_dry:
        _list(what, (entry.path for entry in moved))
        _list("left alone", (f"{path}: {why}" for path, why in conflicts.items()))


def _list(what: str, lines: Iterable[str]) -> None:
    lines = sorted(lines)
    for line in lines[:N_SHOWN]:
        click.echo(f"  {what}: {line}")
    if len(lines) > N_SHOWN:
        click.echo(f"  and {len(lines) - N_SHOWN:,} more")
