"""Predicts new images with the networks that a transfer kept of all folds and seeds: the mean of their probabilities."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from catscans_lib import paths, results
from catscans_lib.datasets import folders
from catscans_lib.errors import InputError, unknown
from catscans_lib.experiment import transfer
from catscans_lib.images import store
from catscans_lib.images.listing import Problem, Row, make_listing
from catscans_lib.images.pixels import Resize
from catscans_lib.networks import weight_files
from catscans_lib.training import loop


@dataclass(frozen=True)
class Ensemble:
    """The kept networks of a transfer, its classes, and how the images of its target were read."""

    paths: list[Path]
    classes: tuple[str, ...]
    size_px: int
    resize: Resize
    value_range: tuple[float, float] | None

    @classmethod
    def of(cls, profile: str, name: str) -> "Ensemble":
        """Find the networks of a finished transfer (`source--target`); InputError if it kept none."""
        if name not in (known := results.finished(profile, "transfer")):
            raise unknown(f"finished transfer of profile {profile}", name, known)
        folder = paths.run_dir(profile, "transfer", name)
        if not (found := sorted((folder / transfer.NETWORKS).glob("*.keras"))):
            raise InputError(
                f"transfer/{name} of profile {profile} kept no networks of mode fine_tune. Make it again with them: "
                f".venv/bin/catscans sweep transfer/{name} --profile {profile} --set transfer.keep_networks=true --as networks; "
                f"then take --profile {profile}+networks. In params/{profile}.yaml it is transfer.defaults.keep_networks."
            )
        scores = results.table(profile, "transfer", name, "predictions").filter(regex="^score_")
        made = results.record(profile, f"ingest/{name.split('--')[1]}")
        return cls(
            found,
            tuple(scores.columns.str.removeprefix("score_")),
            results.record(profile, f"transfer/{name}")["parameters"]["size_px"],
            made["parameters"]["resize"],
            tuple(made.get("value_range") or ()) or None,
        )

    def networks(self) -> Iterator[keras.Model]:
        """Load one network after the other; InputError for a file that is damaged or contains code."""
        for path in self.paths:
            weight_files.read(path)  # checks it
            yield keras.models.load_model(path, compile=False)

    def predict(self, images: np.ndarray) -> pd.DataFrame:
        """Return the mean probability of every class; a row per image of `images`, uint8 (n_images, size, size, 3).

        Where an image may have several findings, each has a sigmoid unit, and the probabilities do not sum to 1.
        """
        scores = np.zeros((len(images), len(self.classes)))
        for network in self.networks():
            outputs = loop.predict(network, images, np.arange(len(images)))
            is_several = network.layers[-1].activation is keras.activations.sigmoid and outputs.shape == scores.shape
            scores += outputs if is_several else loop.probabilities(outputs)
        return pd.DataFrame(scores / len(self.paths), columns=[f"score_{name}" for name in self.classes])

    def read(self, folder: Path, to: Path) -> tuple[store.ImageStore, pd.DataFrame]:
        """Read all images below a folder into a store `to`, as those of the target; return also what was left out or lost.

        An image's id is its path below the folder. InputError if there is no image.
        """
        problems: list[Problem] = []
        tree = folders.scan(folder, folder, problems)
        rows = [Row(path, path, "", path, "") for path in tree.all()]
        listing = make_listing(rows, [*problems, *tree.other_files()], folder, root=folder)
        how = {"size_px": self.size_px, "resize": self.resize, "value_range": self.value_range}
        undecodable = store.write(to, listing, dataset=folder.name, n_processes=os.cpu_count() or 1, **how)
        opened = store.open_store(to)
        return opened, pd.concat([listing.problems, undecodable, opened.losses], ignore_index=True)
