"""Commands that share results as one crate to cite, and make figures and tables again to check them."""

import sys
import time
from pathlib import Path

import click

from catscans_lib import paths
from catscans_lib.errors import InputError, and_more


@click.command(epilog="Example: catscans export crate.zip --profile paper")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.zip")
@click.option("--profile", default="demo", show_default=True, help="Profile whose results to export.")
@click.option("--no-models", is_flag=True, help="Omit the networks.")
@click.option("--partial", is_flag=True, help="Export although runs are missing or outdated.")
def export(path: Path, profile: str, no_models: bool, partial: bool) -> None:
    """Write a profile as an RO-Crate.

    OUT.zip holds settings, executed notebooks, tables, figures, networks, book, code and the locked environment, described as a
    Workflow Run Crate, with a list of the images of each dataset. The same results give the same bytes.
    """
    from catscans_lib.sharing.crate import export as crate

    started = time.monotonic()
    files = crate.export(profile, path, models=not no_models, partial=partial)
    book = "" if f"{crate.HTML}/index.html" in files else "; without the book, which has not been built"
    size, packed = (f"{n / 1e6:.1f} MB" for n in (sum(size for size, _ in files.values()), path.stat().st_size))
    click.echo(f"{path}: {len(files):,} files, {size}, packed {packed}, in {time.monotonic() - started:.1f} s{book}.")


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


@click.command(epilog="Example: catscans verify summary_fine_tune aucs 'similarity/*'")
@click.argument("names", nargs=-1, metavar="[FIGURE|TABLE]...")
@click.option("--profile", default="demo", show_default=True, help="Profile whose figures and tables to make again.")
@click.option("--codecheck", "draft", is_flag=True, help="Draft codecheck.yml, for a CODECHECK, from what was found.")
def verify(names: tuple[str, ...], profile: str, draft: bool) -> None:
    """Make figures and tables again from the runs before them, and say which are the same.

    Without names, all of runs that train no network. Nothing of the study changes. Exit status: 0 all are the same, 1 some
    differ and are named, 2 bad input.
    """
    from catscans_lib.book import citation, templates
    from catscans_lib.sharing import verify

    checked = verify.verify(profile, verify.parts(profile, names), click.echo)
    wrong = [part for part in checked if part.problem]
    for part in wrong:
        click.echo(f"{part.name} {part.problem}.")
    click.echo(f"{len(checked) - len(wrong)} of {len(checked)} figures and tables of profile {profile} are the same.")
    if draft:
        path = paths.root() / "codecheck.yml"
        drafted = templates.rendered("_codecheck.yml", profile=profile, checked=checked, cited=citation.cited())
        path.write_text(drafted, encoding="utf-8")
        click.echo(f"{path.name}: {len(checked)} entries. Whoever checks them replaces what says FIXME, and signs.")
    sys.exit(1 if wrong else 0)


@click.command(epilog="Example: catscans tables tables.zip --profile paper")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.zip")
@click.option("--profile", default="demo", show_default=True, help="Profile whose tables to write.")
@click.option("--parquet", is_flag=True, help="Write Parquet instead of CSV; needs pyarrow.")
def tables(path: Path, profile: str, parquet: bool) -> None:
    """Write all tables of a profile and the published evidence into one zip, with data dictionary and Croissant metadata."""
    from catscans_lib.book import citation, tables

    if not any(paths.tables_dir(profile).glob("*.csv")):
        raise InputError(
            f"Profile '{profile}' has no table yet. Make them: .venv/bin/catscans sweep --profile {profile}"
        )
    content = tables.packed(profile, citation.cited(), parquet=parquet)
    with paths.atomic_write(path) as part:
        part.write_bytes(content)
    click.echo(f"{path}: {len(content) / 1e6:.1f} MB.")
