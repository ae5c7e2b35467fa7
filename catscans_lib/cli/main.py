"""The command `catscans`: all its commands; bad input gives one message and exit status 2."""

import shlex
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from catscans_lib import paths
from catscans_lib.cli import data, records, share, sweep
from catscans_lib.cli.predict import predict
from catscans_lib.cli.recommend import recommend
from catscans_lib.errors import InputError


class _Group(click.Group):
    """Prints an InputError, or an error of the file system, as one message and exits with status 2."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **given: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        parts = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
        try:
            if empty := [option for option, value in pairwise(parts) if option.startswith("--") and not value]:
                raise InputError(f"{empty[0]} got an empty value. Leave it out, or give a value.")
            return super().main(words, *others, **given)
        except InputError as error:
            click.echo(f"catscans: {error}", err=True)
            if error.instead:
                given, better = (Path(path).resolve() for path in error.instead)
                command = [str(better) if Path(word).resolve() == given else word for word in words]
                click.echo(f"Try: .venv/bin/catscans {shlex.join(command)}", err=True)
        except OSError as error:  # such as a full disk, or a folder that may not be written
            place = f" '{error.filename}'" if error.filename else ""
            click.echo(
                f"catscans: {error.strerror or error}{place}. Is the disk full, or the folder not writable?", err=True
            )
        sys.exit(2)


@click.group(cls=_Group)
@click.version_option(package_name="catscans", message="%(prog)s %(version)s")
def main() -> None:
    """Cats or CAT scans: which source dataset to pretrain on for a medical target."""
    paths.adapt_environment()


for command in (
    sweep.check, sweep.sweep, sweep.run, sweep.book, data.download, data.dataset,
    records.records, share.export, share.import_, share.verify, share.tables, recommend, predict, sweep.clean,
):  # fmt: skip
    main.add_command(command)


if __name__ == "__main__":
    main()
