"""The commands about crates: a finished profile as one file to cite, and back from it on another machine."""

import json
import time
from pathlib import Path

import click

from catscans_lib import datasets, paths


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.zip")
@click.option("--profile", default="demo", show_default=True, help="Whose results.")
@click.option("--no-book", is_flag=True, help="Leave the built book out.")
@click.option("--no-models", is_flag=True, help="Leave the networks out.")
@click.option("--with-data", is_flag=True, help="Take the decoded images too; mind the terms of their datasets.")
@click.option("--partial", is_flag=True, help="Also where runs are missing or not up to date.")
def export(path: Path, profile: str, no_book: bool, no_models: bool, with_data: bool, partial: bool) -> None:
    """Write a profile as an RO-Crate.

    OUT.zip holds settings, executed notebooks, tables, figures, networks, book, code and the locked environment, described as a
    Workflow Run RO-Crate, with cards of the datasets (Croissant) and of the networks. The same results give the same bytes.
    """
    from catscans_lib.sharing.crate import export as writer

    started = time.monotonic()
    done = writer.export(profile, path, book=not no_book, models=not no_models, data=with_data, partial=partial)
    book = "" if done.has_book or no_book else "; without the book, which has not been built"
    size, packed = (f"{n / 1e6:.1f} MB" for n in (done.n_bytes, done.n_packed))
    click.echo(f"{path}: {done.n_files:,} files, {size}, packed {packed}, in {time.monotonic() - started:.1f} s{book}.")


@click.command()
@click.argument("name", metavar="DATASET")
def card(name: str) -> None:
    """Print the card of a dataset as Croissant metadata (JSON-LD)."""
    from catscans_lib.sharing.crate import croissant

    click.echo(json.dumps(croissant.card(datasets.get(name)), indent=1, ensure_ascii=False))


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path), metavar="CRATE.zip")
@click.option("--other-code", is_flag=True, help="Take results of another version of the project or its code.")
def import_(path: Path, other_code: bool) -> None:
    """Take over the results of a crate, so that `make book` builds its book without running anything.

    Nothing is overwritten: other results of the same profile are named and the import refused. Code in the crate is not used.
    """
    from catscans_lib.sharing.crate import restore
    from catscans_lib.sweep import engine

    with engine.one_sweep_at_a_time():
        done = restore.restore(path, other_code=other_code)
    there = f" ({done.n_there:,} were there)" if done.n_there else ""
    click.echo(
        f"{paths.relative(paths.results_dir(done.profile))}: {len(done.runs)} runs, {done.n_new:,} files{there}."
    )
    n_runs, to_do = restore.up_to_date(done.profile)
    if to_do:
        click.echo(
            f"{len(to_do)} of the {n_runs} runs of params/{done.profile}.yaml are to be done: {', '.join(to_do[:5])} ..."
        )
    click.echo(f"Next: make book PROFILE={done.profile}" + ("" if to_do else "; all its runs are there."))
