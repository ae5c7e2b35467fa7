"""The command that predicts a user's images with the networks of a finished transfer."""

import tempfile
from pathlib import Path

import click

from catscans_lib import paths
from catscans_lib.cli.data import strict_option
from catscans_lib.images import inventory


@click.command(
    epilog="Example: catscans predict new/ --from transfer/dtd--chest --profile demo+networks --grad-cam heat/"
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--from", "key", metavar="transfer/NAME", required=True, help="Transfer whose networks predict.")
@click.option("--profile", default="demo", show_default=True, help="Profile or experiment of the transfer.")
@click.option("--csv", "table", type=Path, default="predictions.csv", show_default=True, help="File to write.")
@click.option("--grad-cam", "heat_dir", type=Path, help="Folder for a picture per image: where the networks look.")
@strict_option
def predict(folder: Path, key: str, profile: str, table: Path, heat_dir: Path | None, strict: bool) -> None:
    """Predict all images below FOLDER with the networks of all folds of a transfer.

    Writes a CSV: image_id (the path below FOLDER), most_probable, and the mean probability of every class, score_<class>. The
    images are read as those of the transfer's target were: size, shape, range of values. The transfer must have run with the
    setting keep_networks.
    """
    from catscans_lib.training import import_keras

    import_keras()
    from PIL import Image

    from catscans_lib.experiment.ensemble import Ensemble
    from catscans_lib.figures.inspection import overlaid
    from catscans_lib.inspection import grad_cam

    ensemble = Ensemble.of(profile, key.removeprefix("transfer/"))
    with tempfile.TemporaryDirectory() as scratch:
        images, problems = ensemble.read(folder, Path(scratch) / "images.h5")
        scores = ensemble.predict(images.images)
        answers, ids = scores.to_numpy().argmax(axis=1), images.table["image_id"]
        names = [ensemble.classes[answer] for answer in answers]
        with paths.atomic_write(table) as part:
            ids.to_frame().assign(most_probable=names).join(scores).to_csv(part, index=False)
        click.echo(f"Wrote {table}: mean of {len(ensemble.paths)} networks of {key}, profile {profile}.")
        if heat_dir:
            heat = grad_cam.of_ensemble(ensemble.networks(), images.images, answers)
            for image_id, image, here in zip(ids, images.images, heat, strict=True):
                path = heat_dir / f"{image_id}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(overlaid(image, here)).save(path)
            click.echo(f"Wrote {len(ids)} pictures to {heat_dir}.")
        told = inventory.inventory(images.table.assign(label=""), problems)  # whose classes are not known
    click.echo(inventory.as_text(told))
    if strict:
        inventory.refuse_losses(told)
