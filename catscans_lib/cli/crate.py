"""The commands about crates: write a finished profile to one file to cite, import it, print the card of a dataset."""

import json
import time
from pathlib import Path

import click

from catscans_lib import datasets, paths
from catscans_lib.errors import and_more


@click.command(epilog="Example: catscans export crate.zip --profile paper")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.zip")
@click.option("--profile", default="demo", show_default=True, help="Profile whose results to export.")
@click.option("--no-book", is_flag=True, help="Omit the built book.")
@click.option("--no-models", is_flag=True, help="Omit the networks.")
@click.option("--with-data", is_flag=True, help="Include the decoded images; mind the terms of their datasets.")
@click.option("--partial", is_flag=True, help="Export although runs are missing or outdated.")
def export(path: Path, profile: str, no_book: bool, no_models: bool, with_data: bool, partial: bool) -> None:
    """Write a profile as an RO-Crate.

    OUT.zip holds settings, executed notebooks, tables, figures, networks, book, code and the locked environment, described as a
    Workflow Run RO-Crate, with cards of the datasets (Croissant) and of the networks. The same results give the same bytes.
    """
    from catscans_lib.sharing.crate import export as crate

    started = time.monotonic()
    files = crate.export(profile, path, book=not no_book, models=not no_models, data=with_data, partial=partial)
    has_book = f"{crate.HTML}/index.html" in files
    book = "" if has_book or no_book else "; without the book, which has not been built"
    n_bytes = sum(size for size, _ in files.values())
    size, packed = (f"{n / 1e6:.1f} MB" for n in (n_bytes, path.stat().st_size))
    click.echo(f"{path}: {len(files):,} files, {size}, packed {packed}, in {time.monotonic() - started:.1f} s{book}.")


@click.command(epilog="Example: catscans dataset card isic2018")
@click.argument("name", metavar="DATASET")
def card(name: str) -> None:
    """Print the card of a dataset as Croissant metadata (JSON-LD)."""
    from catscans_lib.sharing.crate import croissant

    click.echo(json.dumps(croissant.card(datasets.get(name)), indent=1, ensure_ascii=False))


@click.command("import", epilog="Example: catscans import crate.zip")
@click.argument("path", type=click.Path(path_type=Path), metavar="CRATE.zip")
@click.option("--other-code", is_flag=True, help="Accept results of another version of the project or of other code.")
def import_(path: Path, other_code: bool) -> None:
    """Import the results of a crate, so that `make book` builds its book without running anything.

    Nothing is overwritten: if other results of the same profile are here, the import is refused and names them. Code in the
    crate is not used.
    """
    from catscans_lib.sharing.crate import restore
    from catscans_lib.sweep import engine

    with engine.one_sweep_at_a_time():
        done = restore.restore(path, other_code=other_code)
    there = f" ({done.n_there:,} were here already)" if done.n_there else ""
    folder = paths.relative(paths.results_dir(done.profile))
    click.echo(f"{folder}: {len(done.runs)} runs, {done.n_new:,} new files{there}.")
    n_runs, outdated = restore.outdated(done.profile)
    if outdated:
        click.echo(
            f"{len(outdated)} of the {n_runs} runs of params/{done.profile}.yaml are outdated or missing: "
            f"{and_more(outdated, 5)}."
        )
    click.echo(f"Next: make book PROFILE={done.profile}" + ("" if outdated else "; all its runs are here."))
