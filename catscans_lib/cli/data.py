"""Commands about data: download, list and check datasets, add own images."""

import os
from pathlib import Path
from typing import Any, get_args

import click

from catscans_lib import datasets, paths
from catscans_lib.datasets import own
from catscans_lib.errors import InputError, and_more
from catscans_lib.grid import expand, profiles
from catscans_lib.images import findings, inventory
from catscans_lib.images.pixels import Resize

data_option = click.option(
    "--data", "data_dir", envvar="CATSCANS_DATA", type=click.Path(path_type=Path),
    help="Folder of the datasets as downloaded; default: CATSCANS_DATA.",
)  # fmt: skip
strict_option = click.option("--strict", is_flag=True, help="Fail (status 2) if any image is left out or read in part.")


@click.command(epilog="Example: catscans download dtd stl10 --data ~/data")
@click.argument("names", nargs=-1, required=True, metavar="DATASET...")
@data_option
def download(names: tuple[str, ...], data_dir: Path | None) -> None:
    """Download published datasets. Resumes partial downloads; safe to interrupt.

    For datasets that need a login, prints the steps to take. CATSCANS_MIRROR: URL of a folder with the files.
    """
    from catscans_lib.sharing.transfer import fetch

    cards = [datasets.get(name) for name in names]
    data_dir = _given(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    for card in cards:
        if not card.downloads:
            steps = "\n".join(f"  {n}. {line}" for n, line in enumerate(card.by_hand.splitlines(), start=1))
            click.echo(f"{card.title} is downloaded by hand, from {card.url}:\n{steps}")
            continue
        for file in card.downloads:
            fetch(file, data_dir, mirror=os.environ.get("CATSCANS_MIRROR"))
        _compare(card, data_dir)


@click.group()
def dataset() -> None:
    """List and check datasets, add your own."""


@dataset.command("ls", epilog="Example: catscans dataset ls")
def list_all() -> None:
    """List the known datasets, your own last."""
    for name in datasets.known():
        card = datasets.get(name)
        n = f"{card.n_images:,}" if card.n_images else "-"
        how = "own" if name not in datasets.published() else "download" if card.downloads else "by hand"
        click.echo(f"{name:22}{card.title:32}{n:>10}  {card.group or '-':18}{how}")


@dataset.command(epilog="Example: catscans dataset check chest isic2018 --data ~/data")
@click.argument("names", nargs=-1, required=True, metavar="DATASET...")
@data_option
@strict_option
def check(names: tuple[str, ...], data_dir: Path | None, strict: bool) -> None:
    """Compare the images found with the published numbers, without decoding them."""
    for card in [datasets.get(name) for name in names]:
        _compare(card, _given(data_dir) if card.is_below_data_dir else Path(), strict)


@dataset.command(epilog="Example: catscans dataset add moles ~/moles --group patient --group-pattern '(p[0-9]+)_.*'")
@click.argument("name")
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--title", help="Printed name; default: NAME.")
@click.option("--path-column", default="path", show_default=True, help="CSV: column of paths, relative to the CSV.")
@click.option(
    "--label-column", default="label", show_default=True,
    help="CSV: column with the class; or one column of 0 and 1 per class, their names joined by commas.",
)  # fmt: skip
@click.option(
    "--multi-label", metavar="SEPARATOR",
    help="Several findings per image or none: what separates them in the label column, such as '|'; a row of columns of 0 and 1 "
    "may then have several 1.",
)  # fmt: skip
@click.option("--group-column", help="CSV: column of groups that must not be split between folds, such as patients.")
@click.option("--split-column", help="CSV: column of the published split.")
@click.option(
    "--image-dir",
    multiple=True,
    help="CSV: folder of the images, relative to the CSV; default: its own folder. Repeatable.",
)
@click.option(
    "--group-pattern",
    help="Folder: regular expression for file names, or with a slash for paths below the class; its parenthesised part is "
    "the group.",
)
@click.option("--class-names", help="npz: names of the labels 0, 1, ..., joined by commas.")
@click.option("--group", help="What a group is, such as patient.")
@click.option("--part-of", help="Dataset whose image ids this one keeps; sources leave shared images out.")
@click.option("--modality", default="own images", show_default=True, help="What the images show.")
@click.option("--licence", default="not stated", show_default=True, help="Terms of use.")
@click.option("--profile", default="mine", show_default=True, help="Profile that gets a row; created if it is missing.")
@click.option("--like", default="paper", show_default=True, help="Profile whose settings a new one copies.")
@click.option(
    "--as", "role", type=click.Choice(["target", "source", "both"]), default="target", show_default=True,
    help="Use of the dataset in the profile: pretrain on it (source), transfer to it (target), or both.",
)  # fmt: skip
@click.option("--size-px", type=click.IntRange(8, 1024), help="Side of the stored images; default: the profile's.")
@click.option(
    "--resize", type=click.Choice(get_args(Resize)), default="squash", show_default=True,
    help="How images become squares: distorted, cut at both ends of the longer side, or with black bars.",
)  # fmt: skip
@strict_option
def add(
    name: str, place: Path, profile: str, like: str, role: str, size_px: int | None, resize: str, strict: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Add your own images as a dataset.

    Writes a card to params/datasets and a row to a profile. PLACE is a folder with one folder per class (or train, val and
    test with such folders), a CSV with the columns path, label and optionally group, or an .npz as MedMNIST publishes it.
    """
    names = [word.strip() for word in (given.pop("class_names") or "").split(",") if word.strip()]
    given["title"] = given["title"] or name
    given["group"] = given["group"] or given["group_column"] or ("group" if given["group_pattern"] else None)
    given["image_dir"] = [beside(place, folder) for folder in given["image_dir"]] or None
    data_dir, there = Path(os.environ.get("CATSCANS_DATA", "")), place.resolve()
    if os.environ.get("CATSCANS_DATA") and there.is_relative_to(data_dir.resolve()):  # valid on other machines, too
        there = there.relative_to(data_dir.resolve())
    card = own.card_at(place, **(given | {"place": str(there), "class_names": names}))
    listing = card.read(data_dir)
    told = inventory.inventory(listing.images, listing.problems, group=card.group)
    if strict:
        inventory.refuse_losses(told)
    card_path = own.add(name, card, listing, taken=datasets.known())
    try:
        roles = profiles.ROLES if role == "both" else (role,)
        row = {"size_px": size_px, "resize": resize, "strict": strict}
        profile_path = profiles.add_dataset(profile, name, roles=roles, like=like, **row)
    except InputError:
        card_path.unlink()  # a card without its row would make the next try fail
        raise
    each = listing.images[["group"]].join(findings.each(listing.images["label"]))
    n_folds, n_groups = profiles.load(profile).folds.n_folds, each.groupby("label")["group"].nunique()
    if short := [f"'{label}' {n}" for label, n in n_groups[n_groups < n_folds].items() if role != "source"]:
        what = "They have no AUC in some" if listing.multi_label else "Lower folds.n_folds or drop the classes"
        n_short = f"{len(short)} of {len(n_groups)} classes: {and_more(short, 10)}"
        click.echo(f"Too few groups for {n_folds} folds in {n_short}. {what}.")
    click.echo(f"Wrote {paths.relative(card_path)} and a row in {paths.relative(profile_path)}.")
    try:
        expand.grid(profile)
    except InputError as error:
        click.echo(f"The profile is not valid yet: {error}")
    data = " DATA=folder" if datasets.get(name).is_below_data_dir else ""
    click.echo(f"Next: .venv/bin/catscans check --profile {profile} && make book PROFILE={profile}{data}")
    click.echo(inventory.as_text(told))


def _given(data_dir: Path | None) -> Path:
    if data_dir is None:
        raise InputError("DATA is not set. Pass --data FOLDER, or set the environment variable CATSCANS_DATA.")
    return data_dir


def beside(place: Path, folder: str) -> str:
    """Return a folder relative to the table `place`, also if it was given relative to the current folder."""
    is_here = not (place.parent / folder).is_dir() and Path(folder).is_dir()
    return os.path.relpath(folder, place.parent) if is_here else folder


def _compare(card: datasets.DatasetInfo, data_dir: Path, strict: bool = False) -> None:
    """Print how the images found differ from the published numbers, and the inventory."""
    listing = card.read(data_dir)
    n, counts = len(listing.images), findings.each(listing.images["label"]).value_counts()
    published = f" of {card.n_images:,}" if card.n_images and card.n_images != n else ""
    groups = f", {listing.images['group'].nunique():,} groups ({card.group})" if card.group else ""
    click.echo(f"{card.name}: {n:,}{published} images in {len(listing.classes)} classes{groups}.")
    for label, n_published in card.n_per_class.items():
        if (found := int(counts.get(label, 0))) != n_published:
            click.echo(f"  {label}: {found:,} images, {n_published:,} were published")
    told = inventory.inventory(listing.images, listing.problems, group=card.group)
    click.echo(inventory.as_text(told))
    if strict:
        inventory.refuse_losses(told)
