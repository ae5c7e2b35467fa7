"""The commands that keep results on the Open Science Framework: push, pull, status, verify."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from catscans_lib.errors import InputError

N_SHOWN = 20
OPTIONS = (
    click.argument("folder", type=click.Path(path_type=Path, file_okay=False)),
    click.option("--project", envvar="OSF_PROJECT", required=True, help="ID of the project or component: osf.io/ID."),
    click.option("--node", metavar="PATH", help="Folder in the project's storage; default: the name of FOLDER."),
    click.option("--jobs", type=click.IntRange(1, 32), default=4, show_default=True, help="Transfers at a time."),
    click.option("--base-url", envvar="CATSCANS_OSF_URL", default="https://api.osf.io/v2", hidden=True),
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")


def sync_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which folder and which copy."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.group()
def osf() -> None:
    """Keep finished runs on the Open Science Framework (osf.io).

    The token is read from OSF_TOKEN or from the keyring (keyring set osf.io token). Pulling from a public project needs no token.
    """


@osf.command()
@sync_options
@dry_run_option
def push(dry_run: bool, **given: Any) -> None:
    """Send the finished runs in FOLDER that OSF does not have. Safe to interrupt.

    Each run becomes one zip; former versions stay on OSF.

    Example: catscans osf push results/demo --project abc12
    """
    _say("to send" if dry_run else "sent", _sync(**given).push(dry_run=dry_run), dry_run)


@osf.command()
@sync_options
@click.option("--force", is_flag=True, help="Replace runs in FOLDER that differ from every version on OSF.")
@dry_run_option
def pull(force: bool, dry_run: bool, **given: Any) -> None:
    """Fetch the newest version of the runs on OSF. Safe to interrupt.

    A sweep takes pulled runs as done. Runs in FOLDER that OSF does not have are never replaced without --force.

    Example: catscans osf pull results/demo --project abc12
    """
    plan = _sync(**given, must_exist=False).pull(force=force, dry_run=dry_run)
    _say("to fetch" if dry_run else "fetched", plan, dry_run)


@osf.command()
@sync_options
def status(**given: Any) -> None:
    """Show how FOLDER and its copy on OSF differ.

    Example: catscans osf status results/demo --project abc12
    """
    found = _sync(**given).status()
    click.echo(", ".join(f"{len(keys):,} {what}" for what, keys in found.items()) + ".")
    for what in ("to push", "to pull"):
        _list(what, found[what])


@osf.command()
@sync_options
def verify(**given: Any) -> None:
    """Check by SHA-256 that FOLDER and OSF hold every run of the manifest; exit status 1 if not.

    Example: catscans osf verify results/demo --project abc12
    """
    n_runs, problems = _sync(**given).verify()
    if not n_runs:
        raise InputError("OSF has no manifest to check against. Push first.")
    click.echo(f"{n_runs - len(problems):,} of {n_runs:,} runs are undamaged here and on OSF.")
    _list("problem", [f"{key}: {problem}" for key, problem in problems.items()])
    if problems:
        sys.exit(1)


def _sync(folder: Path, project: str, node: str | None, jobs: int, base_url: str, must_exist: bool = True) -> Any:
    from catscans_lib.sharing.osf.sync import Sync

    if must_exist and not folder.is_dir():
        raise InputError(f"No folder '{folder}'. Give one with results, such as results/demo.")
    return Sync(folder, project, (node or folder.resolve().name).strip("/"), base_url, jobs)


def _say(what: str, plan: Any, is_dry: bool) -> None:
    click.echo(f"{len(plan.move):,} runs ({plan.n_bytes:,} bytes) {what}, {len(plan.same):,} unchanged.")
    if is_dry:
        _list(what, plan.move)
        _list("left alone", [f"{key} {why}" for key, why in plan.left.items()])


def _list(what: str, lines: Iterable[str]) -> None:
    lines = sorted(lines)
    for line in lines[:N_SHOWN]:
        click.echo(f"  {what}: {line}")
    if len(lines) > N_SHOWN:
        click.echo(f"  and {len(lines) - N_SHOWN:,} more")
