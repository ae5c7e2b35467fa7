"""Commands that share results: on the Open Science Framework (push, pull, status), and as one crate to cite."""

import json
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from catscans_lib import datasets, paths
from catscans_lib.errors import InputError, and_more

ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:osf\.io|api\.osf\.io/v2/nodes)/([A-Za-z0-9]+)(?:[/?#].*)?")
OPTIONS = (
    click.argument("folder", type=click.Path(path_type=Path, file_okay=False)),
    click.option(
        "--project", envvar="OSF_PROJECT", required=True, help="ID or address of the project or component: osf.io/ID."
    ),
    click.option("--node", metavar="PATH", help="Folder in the project's storage; default: the name of FOLDER."),
    click.option("--base-url", envvar="CATSCANS_OSF_URL", default="https://api.osf.io/v2", hidden=True),
)


def sync_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which folder and which copy."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.group()
def osf() -> None:
    """Keep finished runs on the Open Science Framework (osf.io).

    The token is read from the environment variable OSF_TOKEN. Pulling from a public project needs no token.
    """


@osf.command(epilog="Example: catscans osf push results/demo --project abc12")
@sync_options
def push(**given: Any) -> None:
    """Send the finished runs in FOLDER that OSF does not have. Safe to interrupt.

    Each run becomes one zip; former versions stay on OSF.
    """
    _say("sent", _sync(**given).push())


@osf.command(epilog="Example: catscans osf pull results/demo --project abc12")
@sync_options
@click.option("--force", is_flag=True, help="Replace runs in FOLDER that differ from every version on OSF.")
def pull(force: bool, **given: Any) -> None:
    """Fetch the newest version of the runs on OSF. Safe to interrupt.

    A sweep takes pulled runs as done. Runs in FOLDER that OSF does not have are never replaced without --force.
    """
    _say("fetched", _sync(**given, must_exist=False).pull(force=force))


@osf.command(epilog="Example: catscans osf status results/demo --project abc12")
@sync_options
def status(**given: Any) -> None:
    """Show how FOLDER and its copy on OSF differ: what a push or pull would move."""
    found = _sync(**given).status()
    click.echo(", ".join(f"{len(keys):,} {what}" for what, keys in found.items()) + ".")
    for what in ("to push", "to pull", "left alone by a pull"):
        _list(what, found[what])


def _sync(folder: Path, project: str, node: str | None, base_url: str, must_exist: bool = True) -> Any:
    from catscans_lib.sharing.osf.sync import Sync

    if must_exist and not folder.is_dir():
        raise InputError(f"No folder '{folder}'. Give one with results, such as results/demo.")
    project = ADDRESS.sub(r"\1", project.strip())
    return Sync(folder, project, (node or folder.resolve().name).strip("/"), base_url)


def _say(what: str, plan: Any) -> None:
    click.echo(f"{len(plan.move):,} runs ({plan.n_bytes:,} bytes) {what}, {len(plan.same):,} unchanged.")


def _list(what: str, lines: Iterable[str]) -> None:
    if lines := sorted(lines):
        click.echo(f"  {what}: {and_more(lines, 20)}")


@click.command(epilog="Example: catscans export crate.zip --profile paper")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.zip")
@click.option("--profile", default="demo", show_default=True, help="Profile whose results to export.")
@click.option("--no-models", is_flag=True, help="Omit the networks.")
@click.option("--partial", is_flag=True, help="Export although runs are missing or outdated.")
def export(path: Path, profile: str, no_models: bool, partial: bool) -> None:
    """Write a profile as an RO-Crate.

    OUT.zip holds settings, executed notebooks, tables, figures, networks, book, code and the locked environment, described as a
    Workflow Run RO-Crate, with cards of the datasets. The same results give the same bytes.
    """
    from catscans_lib.sharing.crate import export as crate

    started = time.monotonic()
    files = crate.export(profile, path, models=not no_models, partial=partial)
    book = "" if f"{crate.HTML}/index.html" in files else "; without the book, which has not been built"
    size, packed = (f"{n / 1e6:.1f} MB" for n in (sum(size for size, _ in files.values()), path.stat().st_size))
    click.echo(f"{path}: {len(files):,} files, {size}, packed {packed}, in {time.monotonic() - started:.1f} s{book}.")


@click.command(epilog="Example: catscans dataset card isic2018")
@click.argument("name", metavar="DATASET")
def card(name: str) -> None:
    """Print the card of a dataset as JSON: images, classes, licence, published files, citation."""
    from catscans_lib.sharing.crate import cards

    click.echo(json.dumps(cards.of_dataset(datasets.get(name)), indent=1, ensure_ascii=False))


@click.command("import", epilog="Example: catscans import crate.zip")
@click.argument("path", type=click.Path(path_type=Path), metavar="CRATE.zip")
def import_(path: Path) -> None:
    """Import the results of a crate, so that `make book` builds its book without running anything.

    Nothing is overwritten: if other results of the same profile are here, the import is refused and names them. Code in the
    crate is not used.
    """
    from catscans_lib.sharing.crate import restore
    from catscans_lib.sweep import engine, selection

    with engine.one_sweep_at_a_time():
        profile, files, new = restore.restore(path)
    there = f"; already here: {len(files) - len(new):,}" if len(new) < len(files) else ""
    click.echo(f"{paths.relative(paths.results_dir(profile))}: {len(new):,} new files{there}.")
    gaps = selection.gaps(profile)
    for what, keys in gaps.items():
        click.echo(f"{what.capitalize()} runs ({len(keys)}): {and_more(keys, 5)}.")
    click.echo(f"Next: make book PROFILE={profile}" + ("" if gaps else "; all its runs are here."))
