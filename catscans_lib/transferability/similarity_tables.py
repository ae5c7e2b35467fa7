"""Tables about measures and of what they say: titles, ranks, the facts that simple rules go by, the truth of the demo world."""

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage

from catscans_lib import paths, results
from catscans_lib.datasets import demo
from catscans_lib.images.store import open_store
from catscans_lib.similarity import registry
from catscans_lib.transferability.panel import BASELINES


def titles() -> dict[str, str]:
    """Return the printed title of every measure, and of the rules that it has to beat."""
    return {name: measure.title for name, measure in registry.MEASURES.items()} | BASELINES


def between_datasets(similarity: pd.DataFrame) -> pd.DataFrame:
    """Return a table of similarity without its noise floors: rows of a target and itself."""
    return similarity[similarity["source"] != similarity["target"]]


def declared_shares(profile: str, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return the truth of the demo world as a table of similarity, for the pairs that were measured; empty in other profiles.

    It is the share of a target's class factors that the source's labels exercise.
    """
    columns = ["source", "target", "measure", "value", "larger_is_closer"]
    if profile.split("/")[0] != "demo":
        return pd.DataFrame(columns=columns)
    shares = demo.shared_factors().rename(columns={"share": "value"})
    measured = shares.merge(similarity[["source", "target"]].drop_duplicates())
    return measured.assign(measure="declared_share", larger_is_closer=True)[columns]


def facts_of_sources(profile: str, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return what simple rules know of a source; NaN for one that came as weights.

    Returns
    -------
    pandas.DataFrame
        Columns source, n_images, n_classes, and auc: of its own network on the images held back while it was trained.
    """
    rows = []
    for source in dict.fromkeys(between_datasets(similarity)["source"]):
        trained = results.record(profile, f"pretrain/{source}")
        if trained["parameters"]["weights"] is None:
            store = open_store(paths.store_path(profile, source, trained["parameters"]["size_px"]))
            rows.append((source, trained["n_images"], len(store.classes), _own_auc(profile, source)))
        else:
            rows.append((source, np.nan, np.nan, np.nan))
    return pd.DataFrame(rows, columns=["source", "n_images", "n_classes", "auc"])


def _own_auc(profile: str, source: str) -> float:
    """The network's AUC on held-back images in the epoch that it was taken from; NaN where none were held back."""
    history = results.table(profile, "pretrain", source, "history")
    curves = history[history["split"] == "validation"].pivot(index="epoch", columns="metric", values="value")
    if curves.empty:
        return np.nan
    patient = results.record(profile, f"pretrain/{source}")["parameters"]["patience"]
    return float(curves["auc"].loc[curves["loss"].idxmin() if patient else curves.index[-1]])


def about(names: list[str] | None = None) -> pd.DataFrame:
    """What measures are: columns measure, title, closer ("larger" or "smaller" values), low, high, cost, reference, blind to."""
    rows = [
        (
            measure.name, measure.title, "larger" if measure.larger_is_closer else "smaller", *measure.range, measure.cost,
            measure.reference.split(", ", 1)[-1], measure.blind_to,
        )
        for measure in registry.chosen(names)
    ]  # fmt: skip
    columns = ["measure", "title", "closer", "low", "high", "cost", "reference", "blind to"]
    return pd.DataFrame(rows, columns=columns)


def ranks(values: pd.DataFrame) -> pd.DataFrame:
    """Rank the sources by every measure, 1 being the closest, ties averaged; the mean over seeds counts.

    Parameters
    ----------
    values : pandas.DataFrame
        As `of_target` returns it; the noise floor is left out.

    Returns
    -------
    pandas.DataFrame
        Columns measure, source, rank; measures that rank alike stand beside each other.
    """
    closer = values["value"].where(values["larger_is_closer"].astype(bool), -values["value"])
    here = values.assign(closer=closer)[values["source"] != values["target"]]
    means = here.groupby(["measure", "source"], sort=False)["closer"].mean()
    table = means.groupby("measure").rank(ascending=False).rename("rank").reset_index()
    wide = table.pivot(index="measure", columns="source", values="rank")
    filled = wide.T.fillna(wide.T.mean()).T  # a source that a measure cannot see takes no side
    order = filled.index[leaves_list(linkage(filled, "average"))] if len(filled) > 2 else filled.index
    place = {name: number for number, name in enumerate(order)}
    return table.sort_values("measure", key=lambda names: names.map(place), kind="stable", ignore_index=True)
