"""The data and budget of each source's pretraining, for the table in the chapter on transferability."""

from typing import Any

import numpy as np

from catscans_lib import datasets, results
from catscans_lib.evaluation import learning
from catscans_lib.grid import profiles
from catscans_lib.images.findings import NO_FINDING


def of_sources(profile: str, sources: list[str]) -> list[dict[str, Any]]:
    """Return a row per source with a finished pretraining; what is unknown, as for published weights, is NaN.

    n_seen are the images that training saw, repetitions included; validation_loss is that of the epoch that was kept, and
    constant_loss that of a network that learned nothing.
    """
    return [_row(profile, source) for source in sources if results.is_done(profile, f"pretrain/{source}")]


def _row(profile: str, source: str) -> dict[str, Any]:
    record, card = results.record(profile, f"pretrain/{source}"), datasets.get(source)
    settings = record["parameters"]
    facts = {"source": source, "title": profiles.titles(profile)[source], "weights": settings["weights"]}
    if settings["weights"]:
        facts |= {"n_images": card.n_images, "n_classes": card.count_classes()}
        return facts | dict.fromkeys(("epochs", "n_seen", "learning_rate", "validation_loss", "constant_loss"), np.nan)
    history = results.table(profile, "pretrain", source, "history")
    ingested = results.record(profile, f"ingest/{source}")
    n_per_class = results.table(profile, "ingest", source, "summary").groupby("class")["n_images"].sum()
    splits = [n_per_class]  # into classes that exclude each other
    if ingested.get("multi_label"):
        n_per_class = n_per_class.drop(NO_FINDING, errors="ignore")
        splits = [np.array([n, ingested["n_images"] - n]) for n in n_per_class]
    curve = history[(history["split"] == "validation") & (history["metric"] == "loss")].set_index("epoch")["value"]
    return facts | {
        "n_images": record["n_images"],
        "n_classes": int((n_per_class > 0).sum()),
        "epochs": int(history["epoch"].max()),
        "n_seen": record["n_images"] * (1 - settings["validation_share"]) * history["epoch"].max(),
        "learning_rate": history["learning_rate"].iloc[0],
        "validation_loss": np.nan if curve.empty else curve.min() if settings["patience"] else curve.iloc[-1],
        "constant_loss": np.mean([learning.constant_loss(n, settings["class_weights"] == "balanced") for n in splits]),
    }
