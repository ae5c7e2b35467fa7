"""The command that ranks what to start from for a user's own images."""

import json
from pathlib import Path
from typing import Any

import click

from catscans_lib import paths
from catscans_lib.cli.data import beside, strict_option
from catscans_lib.errors import validated
from catscans_lib.images import inventory


def _many(name: str, variable: str, metavar: str, help_text: str) -> Any:
    return click.option(name, variable, multiple=True, metavar=metavar, help=f"{help_text} Repeatable.")


@click.command(epilog="Example: catscans recommend ~/moles --model keras:resnet50 --features dinov3=dinov3.npz")
@click.argument("place", type=click.Path(path_type=Path))
@_many("--features", "features", "NAME=FILE", "Features computed by any program: .npz, .csv or .parquet (see above).")
@_many("--model", "models", "keras:NETWORK", "Network of keras.applications with its ImageNet weights, or none.")
@_many("--weights", "weights", "[NETWORK=]FILE", "Weights file (.keras, .h5, .safetensors, .pth), of which network.")
@_many("--from", "networks_of", "PROFILE", "Networks and results of a finished profile.")
@_many("--kind", "kinds", "NAME=KIND", "What it was trained on: imagenet, natural, texture, medical_large, medical.")
@click.option(
    "--mode", type=click.Choice(["fine_tune", "linear_probe"]),
    help="How you will use it. Default: as the profile of --from does first, else fine_tune.",
)  # fmt: skip
@click.option("--n-images", type=click.IntRange(20), default=500, show_default=True, help="Maximum number of images.")
@click.option("--size-px", type=click.IntRange(8, 1024), default=224, show_default=True, help="Side of the images.")
@click.option("--seed", default=0, show_default=True, help="Seed for selecting the images.")
@click.option("--label-column", default="label", show_default=True, help="CSV: column with the class.")
@click.option("--multi-label", metavar="SEPARATOR", help="Several findings per image: as in `catscans dataset add`.")
@click.option("--path-column", default="path", show_default=True, help="CSV: column with the image path.")
@_many("--image-dir", "image_dir", "FOLDER", "CSV: folder of the images, relative to the CSV; default: its own.")
@click.option("--group-column", help="CSV: column with the patient, lesion or slide.")
@click.option("--group-pattern", help="Folder: regular expression for file names; its parenthesised part is the group.")
@strict_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Also write a page with figures.")
def recommend(place: Path, as_json: bool, page: Path | None, strict: bool, **given: Any) -> None:
    """Rank what to start from for your own images, without training: networks, weights files, features, or nothing.

    PLACE is a folder with one subfolder per class, a CSV with columns path and label, or an .npz in MedMNIST's format.
    Without a candidate: three networks of Keras with ImageNet weights, and those on this machine.

    \b
    A feature file has a row per image: its path below PLACE, and numbers.
    With paths (a list of files) and images (of PIL, in RGB):
      timm    net = timm.create_model(NAME, pretrained=True, num_classes=0).eval()
              see = timm.data.create_transform(**timm.data.resolve_data_config({}, net))
              rows = [net(see(one)[None])[0].detach().numpy() for one in images]
      transformers    see = AutoImageProcessor.from_pretrained(NAME)
              net = AutoModel.from_pretrained(NAME)
              rows = [net(**see(one, return_tensors="pt")).pooler_output[0]
                      .detach().numpy() for one in images]
      Keras   net = keras.applications.ResNet50(include_top=False, pooling="avg")
              x = np.stack([one.resize((224, 224)) for one in images])
              rows = net.predict(keras.applications.resnet.preprocess_input(x))
      all     np.savez("mine.npz", path=np.array(paths, str), features=np.stack(rows))
    """
    from catscans_lib.training import import_keras

    import_keras()
    from catscans_lib.grid import profiles
    from catscans_lib.recommend import Recommend, report, texts

    names = [name.removeprefix("results/").rstrip("/") for name in given.pop("networks_of")]
    lists = {name: list(value) for name, value in given.items() if isinstance(value, tuple)}
    given |= lists | {"networks_of": names, "profile": ""}
    given |= {"place": str(place.absolute()), "image_dir": [beside(place, one) for one in given["image_dir"]]}
    settings = validated(Recommend, given, "recommend")
    told = report.recommend(settings, [profiles.study(name) for name in names], lambda line: click.echo(line, err=True))
    if page:
        with paths.atomic_write(page) as part:
            part.write_text(texts.page(told), encoding="utf-8")
        click.echo(f"Wrote {page}", err=True)
    click.echo(json.dumps(told, allow_nan=False) if as_json else texts.text(told))
    if strict:
        inventory.refuse_losses(told["images"])
