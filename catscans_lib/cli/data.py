"""The commands about data: download it, look at it, add one's own, cut subsets, convert."""

import os
from pathlib import Path
from typing import Any

import click

from catscans_lib import datasets, paths
from catscans_lib.datasets import own, sti10, synsets
from catscans_lib.errors import InputError
from catscans_lib.grid import expand

data_option = click.option(
    "--data",
    "data_dir",
    envvar="CATSCANS_DATA",
    type=click.Path(path_type=Path),
    help="Folder of the datasets as downloaded; default: CATSCANS_DATA.",
)
N_SHOWN = 5


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="DATASET...")
@data_option
def download(names: tuple[str, ...], data_dir: Path | None) -> None:
    """Fetch datasets as they are published.

    An interrupted download goes on where it stopped. What lies behind a login is not fetched: the steps to take are printed.
    CATSCANS_MIRROR names another place for the files.
    """
    from catscans_lib.sharing import download as sharing_download

    cards = [datasets.get(name) for name in names]
    data_dir = _given(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    for card in cards:
        if not card.downloads:
            click.echo(f"{card.title} is not to be had without a login:\n{_indented(card.by_hand)}")
            continue
        for file in card.downloads:
            fetched = sharing_download.fetch(file, data_dir, mirror=os.environ.get("CATSCANS_MIRROR"))
            if fetched.sha256:
                click.echo(f"{file.file_name}: no checksum was published; this file has sha256:{fetched.sha256}")
        _say_what_is_there(card, data_dir)


@click.group()
def dataset() -> None:
    """Look at datasets, add your own."""


@dataset.command("ls")
def list_all() -> None:
    """List the known datasets, your own last."""
    for name in datasets.known():
        card = datasets.get(name)
        n = f"{card.n_images:,}" if card.n_images else "-"
        how = "own" if name not in datasets.PUBLISHED else "download" if card.downloads else "by hand"
        click.echo(f"{name:22}{card.title:32}{n:>10}  {card.group or '-':18}{how}")


@dataset.command()
@click.argument("names", nargs=-1, required=True, metavar="DATASET...")
@data_option
def check(names: tuple[str, ...], data_dir: Path | None) -> None:
    """Compare what is there with what was published.

    Nothing is decoded; what cannot be is found when a dataset is ingested.
    """
    for card in [datasets.get(name) for name in names]:
        _say_what_is_there(card, _given(data_dir) if card.is_below_data_dir else Path())


@dataset.command()
@click.argument("name")
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--title", help="Printed name; default: NAME.")
@click.option(
    "--path-column", default="path", show_default=True, help="CSV: column with the images' paths, from the CSV on."
)
@click.option("--label-column", default="label", show_default=True, help="CSV: column with the classes.")
@click.option("--group-column", help="CSV: column with what must share a fold, such as the patient.")
@click.option("--split-column", help="CSV: column with the published split.")
@click.option("--image-dir", help="CSV: folder of the images, from the CSV on; default: where the CSV lies.")
@click.option("--suffix", help="CSV: what names of files lack in it, such as .jpg.")
@click.option(
    "--group-pattern", help="Folder: regular expression for file names; its part in parentheses is the group."
)
@click.option("--class-names", help="npz: names of the labels 0, 1, ..., joined by commas.")
@click.option("--group", help="Word for what must share a fold, such as patient.")
@click.option(
    "--part-of",
    help="The dataset it was selected from under the same image ids; shared images are never pretrained on.",
)
@click.option("--modality", default="own images", show_default=True, help="What the images show.")
@click.option("--licence", default="not stated", show_default=True, help="Terms of use.")
@click.option("--profile", default="mine", show_default=True, help="The grid that gets a row; a new one is made.")
@click.option("--like", default="paper", show_default=True, help="The grid whose settings a new one takes.")
@click.option("--as", "role", type=click.Choice(["target", "source", "both"]), default="target", show_default=True)
@click.option(
    "--size-px", type=click.IntRange(8, 1024), help="Side of the stored images; default: as the grid's others."
)
def add(name: str, place: Path, profile: str, like: str, role: str, size_px: int | None, **given: Any) -> None:
    """Add your own images as a dataset.

    NAME gets a card in params/datasets and a row in a grid. PLACE is a folder with a folder for each class (also below train,
    val, test), a CSV with columns path, label and perhaps group, or an .npz as MedMNIST publishes it.
    """
    from catscans_lib.grid import profiles

    names = tuple(word.strip() for word in (given.pop("class_names") or "").split(",") if word.strip())
    given["title"] = given["title"] or name
    given["group"] = given["group"] or ("group" if given["group_column"] or given["group_pattern"] else None)
    card = own.OwnCard(form=own.form_of(place), place=_place(place), class_names=list(names), **given)
    listing = card.read(Path(os.environ.get("CATSCANS_DATA", "")))
    card_path = own.add(name, card, listing, taken=datasets.known())
    try:
        roles = profiles.ROLES if role == "both" else (role,)
        profile_path = profiles.add_dataset(profile, name, roles=roles, size_px=size_px, like=like)
    except InputError:
        card_path.unlink()  # a card without its row would make the same command fail the next time
        raise
    _say_what_is_there(datasets.get(name), Path(os.environ.get("CATSCANS_DATA", "")))
    n_folds, n_groups = expand.load(profile).folds.n_folds, listing.images.groupby("label")["group"].nunique()
    for label, n in n_groups[(n_groups < n_folds) & (role != "source")].items():
        click.echo(
            f"Class '{label}' has {n} groups, too few for {n_folds} folds: lower folds.n_folds in the grid, or leave it out."
        )
    if card.group is None:
        click.echo("No group is given: images of one patient may lie in two folds, and an AUC may be too high for it.")
    click.echo(f"Wrote {paths.relative(card_path)} and a row in {paths.relative(profile_path)}.")
    try:
        expand.grid(profile)
    except InputError as error:
        click.echo(f"The grid is not valid yet: {error}")
    data = " DATA=folder" if datasets.get(name).is_below_data_dir else ""
    click.echo(f"Next: .venv/bin/catscans check --profile {profile}, then make book PROFILE={profile}{data}")


@dataset.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--wnids", help="WordNet ids joined by commas; default: the ten of STI-10.")
@click.option("--wnids-file", type=click.File(), help="The same, one a line; what follows an id is passed over.")
@click.option("--per-class", type=click.IntRange(1), default=806, show_default=True, help="Images of each, at most.")
@click.option("--seed", type=click.IntRange(0), default=2, show_default=True)
def subset(place: Path, folder: Path, wnids: str | None, wnids_file: Any, per_class: int, seed: int) -> None:
    """Copy images of some ImageNet synsets.

    They go from PLACE to FOLDER/<wnid>, with a table subset.csv of what was drawn.
    PLACE is a folder with a folder or tar for each WordNet id, or ImageNet's tar of such tars, which stays packed.
    """
    lines = wnids_file.read().splitlines() if wnids_file else (wnids or ",".join(sti10.WNIDS)).split(",")
    chosen = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    missing = synsets.make_subset(place, chosen, folder, n_per_class=per_class, seed=seed, say=click.echo)
    n = sum(1 for _ in folder.glob("*/*"))
    click.echo(f"{folder}: {n:,} images of {len(set(chosen)) - len(missing)} synsets; which, says subset.csv there.")
    if missing:
        names = [f"{wnid} ({sti10.WNIDS[wnid]})" if wnid in sti10.WNIDS else wnid for wnid in missing]
        click.echo(f"Not in '{place}': {', '.join(names)}.")


@dataset.command("pcam-to-png")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def pcam_to_png(folder: Path) -> None:
    """Write PCam's patches as PNG files.

    From the HDF5 files in FOLDER, to FOLDER/png/{index}_label={y}.png.
    """
    from catscans_lib.datasets.pcam import png

    n = png.to_png(folder)
    click.echo(f"{folder / 'png'}: {n:,} patches; their splits and slides are in {png.TABLE}.")


@dataset.command("pcam-from-png")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def pcam_from_png(folder: Path) -> None:
    """Write PCam's PNG files as HDF5.

    From FOLDER/png to the HDF5 files in FOLDER.
    """
    from catscans_lib.datasets.pcam import png

    click.echo(f"{folder}: {png.to_h5(folder):,} patches.")


def _given(data_dir: Path | None) -> Path:
    if data_dir is None:
        raise InputError("DATA is not set. Pass --data FOLDER, or set the environment variable CATSCANS_DATA.")
    return data_dir


def _place(place: Path) -> str:
    """As the card has it: below DATA where it lies there, so that the card holds on another machine too."""
    place, data_dir = place.resolve(), os.environ.get("CATSCANS_DATA")
    below = bool(data_dir) and place.is_relative_to(Path(data_dir).resolve())
    return place.relative_to(Path(data_dir).resolve()).as_posix() if below else str(place)


def _say_what_is_there(card: datasets.DatasetInfo, data_dir: Path) -> None:
    listing = card.read(data_dir)
    n, counts = len(listing.images), listing.images["label"].value_counts()
    published = f" of {card.n_images:,}" if card.n_images and card.n_images != n else ""
    groups = f", {listing.images['group'].nunique():,} groups ({card.group})" if card.group else ""
    click.echo(f"{card.name}: {n:,}{published} images in {len(listing.classes)} classes{groups}.")
    lacking = [
        (label, int(counts.get(label, 0)), n) for label, n in card.n_per_class.items() if counts.get(label, 0) != n
    ]
    lines = [f"{label}: {found:,} images, {n:,} were published" for label, found, n in lacking]
    lines += [f"{path}: {problem}" for path, problem in listing.problems.itertuples(index=False)]
    for line in lines[:N_SHOWN]:
        click.echo(f"  {line}")
    if len(lines) > N_SHOWN:
        click.echo(f"  and {len(lines) - N_SHOWN} more; the ingest page lists all that was left out")


def _indented(text: str) -> str:
    return "\n".join(f"  {number}. {line}" for number, line in enumerate(text.splitlines(), start=1))
