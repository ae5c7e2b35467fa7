"""The command `catscans`: all its commands; bad input gives one message and exit status 2."""

import json
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import click

from catscans_lib import paths
from catscans_lib.cli import data, records, share, sweep
from catscans_lib.cli.clean import clean
from catscans_lib.cli.predict import predict
from catscans_lib.cli.recommend import recommend
from catscans_lib.errors import InputError
from catscans_lib.evaluation import Average
from catscans_lib.images import inventory


class _Group(click.Group):
    """Prints an InputError as one message and exits with status 2."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        context.meta["words"] = list(args)
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        words = context.meta["words"]
        try:
            pairs = pairwise(
                [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
            )
            if empty := [option for option, value in pairs if option.startswith("--") and value == ""]:
                raise InputError(f"{empty[0]} got an empty value. Leave it out, or give a value.")
            return super().invoke(context)
        except InputError as error:
            click.echo(f"catscans: {error}", err=True)
            if error.instead:
                given, better = (Path(path).resolve() for path in error.instead)
                command = [str(better) if Path(word).resolve() == given else word for word in words]
                click.echo(f"Try: .venv/bin/catscans {shlex.join(command)}", err=True)
            sys.exit(2)


@click.group(cls=_Group)
@click.version_option(package_name="catscans", message="%(prog)s %(version)s")
def main() -> None:
    """Cats or CAT scans: which source dataset to pretrain on for a medical target."""
    paths.adapt_environment()


for command in (
    sweep.check, sweep.sweep, sweep.run, sweep.book, data.download, data.dataset,
    records.records, share.export, share.import_, share.verify, share.tables, recommend, predict, clean,
):  # fmt: skip
    main.add_command(command)


@main.command(epilog="Example: catscans evaluate --predictions mine.csv --against other.csv")
@click.option("--predictions", type=click.Path(path_type=Path), required=True, help="CSV with one row per image.")
@click.option("--against", type=click.Path(path_type=Path), help="CSV of another model on the same images, to compare.")
@click.option("--label", help="Column of the true class; default: y_true, label or y.")
@click.option("--group", help="Column of patients, lesions or slides; default: group, if there is one.")
@click.option("--positive", help="Which of two classes the score belongs to; default: the last in sorted order.")
@click.option(
    "--average", type=click.Choice(get_args(Average)), default="weighted", show_default=True,
    help="How the AUC is averaged over more than two classes.",
)  # fmt: skip
@click.option("--draws", type=click.IntRange(100), default=2000, show_default=True, help="Number of bootstrap draws.")
@click.option("--seed", default=0, show_default=True, help="Seed of the bootstrap.")
@data.strict_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    predictions: Path, against: Path | None, label: str | None, group: str | None, positive: str | None, average: str,
    draws: int, seed: int, strict: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compute AUC, confidence intervals and metrics of any predictions; compare two models with a paired test.

    Needs no sweep. The CSV has the true class (y_true) and, for two classes, one column score, otherwise one column
    score_<class> per class. With a column group, images of a group count as correlated. A column image_id
    matches the rows of two files.
    """
    from catscans_lib.evaluation import prediction_files, user_predictions

    files = [path for path in (predictions, against) if path]
    read = [prediction_files.read(path, label=label, group=group, positive=positive) for path in files]
    found = user_predictions.evaluate(*read, average=average, n_draws=draws, seed=seed)
    click.echo(json.dumps(found, allow_nan=False) if as_json else user_predictions.as_text(found))
    if strict:
        inventory.refuse_losses(found["inventory"])


if __name__ == "__main__":
    main()
