"""Read the tables of the original study and of a later one, in the layout of our own results.

They are read from a folder outside the project (`paths.reference_dir`).
"""

from pathlib import Path

import pandas as pd

from catscans_lib import datasets
from catscans_lib.errors import InputError
from catscans_lib.transferability import similarity_tables

PAIR = ["source", "target"]
COMMITTED = "aucs_scores_distances.csv"  # optional, from results/ of the original repository
NAMES = {  # of the original repository
    "isic": "isic2018", "textures": "dtd", "kimia": "kimia960", "pcam-middle": "pcam_middle", "pcam-small": "pcam_small"
}  # fmt: skip
SCORES = ("fu", "leep", "logme", "ncti", "nleep", "parc", "sfda")
TITLES = {
    "experts": "experts' distance", "cosine_hessian": "Task2Vec: raw cosine", "cosine_symnorm": "Task2Vec: normalised cosine",
    "cosine_symnorm_eps0": "Task2Vec: normalised cosine, no ε", "entropy_symnorm": "Task2Vec: entropy",
    "jsd_masked": "Task2Vec: Jensen-Shannon", "kl_masked": "Task2Vec: Kullback-Leibler",
    "normalized_cosine_masked": "Task2Vec: masked normalised cosine", "correlation_var_masked": "Task2Vec: correlation",
    "log_euclid_masked": "Task2Vec: log-Euclidean", "fu": "FU", "leep": "LEEP", "logme": "LogME", "ncti": "NCTI",
    "nleep": "NLEEP", "parc": "PARC", "sfda": "SFDA",
}  # fmt: skip
# Images and classes of the later study's sources: MedMNIST 2.1.0 (info.py), Mei et al. (2022) for radimagenet. `medmnist`
# means all of them except the target.
MEDMNIST_SOURCES = {
    "imagenet": (1281167, 1000), "radimagenet": (1350000, 165), "medmnist": (708069, 92), "bloodmnist": (17092, 8),
    "breastmnist": (780, 2), "chestmnist": (112120, 14), "dermamnist": (10015, 7), "octmnist": (109309, 4),
    "organamnist": (58850, 11), "organcmnist": (23660, 11), "organsmnist": (25221, 11), "pathmnist": (107180, 9),
    "pneumoniamnist": (5856, 2), "retinamnist": (1600, 5), "tissuemnist": (236386, 8),
}  # fmt: skip


def read(folder: Path, name: str) -> pd.DataFrame:
    """Return one table of the reference folder; InputError if it is missing."""
    if not (folder / name).is_file():
        raise InputError(
            f"No {name} in '{folder}', the folder set by REFERENCE. The chapter 'Published results' lists the files it "
            "needs, and the public repositories to make them from."
        )
    return pd.read_csv(folder / name)


def aucs(folder: Path) -> pd.DataFrame:
    """Return the original study's source, target, mode, fold, seed, auc, transfer_score (percent) and is_baseline.

    Its baselines have the same dataset as source and target. They are leaked: pretraining saw images of the held-out folds.
    """
    table = read(folder, "paper_aucs.csv")
    return table.assign(mode="fine_tune", seed=0, is_baseline=table["is_baseline"].astype(bool))


def similarity(folder: Path) -> pd.DataFrame:
    """Return the original study's distances, averaged over its 100 subsets of every dataset, and the experts' distance.

    Columns source, target, measure, value, larger_is_closer (always False), uses_labels. As published, a dataset has distance 0
    to itself, and ImageNet, which was never embedded, has the distances of STL-10.
    """
    table = read(folder, "task2vec_distances.csv")
    task2vec = table[table["pairing"] == "same index"].rename(columns={"mean": "value"})
    itself = task2vec[["target", "measure"]].drop_duplicates().assign(source=lambda rows: rows["target"], value=0.0)
    imagenet = task2vec[task2vec["source"] == "stl10"].assign(source="imagenet")
    experts = read(folder, "expert_distances.csv").rename(columns={"expert_distance": "value"})
    together = pd.concat([task2vec, itself, imagenet, experts.assign(measure="experts")], ignore_index=True)
    uses_labels = together["measure"] != "experts"  # Task2Vec fits its probe to the labels
    return together[[*PAIR, "measure", "value"]].assign(larger_is_closer=False, uses_labels=uses_labels)


def baselines(folder: Path) -> pd.DataFrame:
    """Return simple rules for the original study's sources, as `similarity_tables.baselines` does."""
    cards = [datasets.get(name) for name in datasets.known()]
    facts = [(card.name, card.n_images, card.count_classes()) for card in cards]
    return similarity_tables.baselines(aucs(folder), pd.DataFrame(facts, columns=["source", "n_images", "n_classes"]))


def medmnist(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return results, scores and simple rules of Juodelyte et al. (2024): 15 sources, 11 targets (chestmnist has no score).

    The results have columns source, target, mode, fold (only one), seed, auc. There are seven scores; the simple rules include
    the linear probe, an eighth score there.
    """
    table = read(folder, "medmnist_transfer.csv")
    table = table[table.groupby("target")["lp"].transform("count") > 0]
    found = table[[*PAIR, "auc"]].assign(mode="fine_tune", fold=1, seed=0)
    scores = table.melt(PAIR, list(SCORES), var_name="measure").assign(larger_is_closer=True, uses_labels=True)
    probe = table[PAIR].assign(measure="linear_probe", value=table["lp"], larger_is_closer=True)
    sources = pd.DataFrame.from_dict(MEDMNIST_SOURCES, orient="index", columns=["n_images", "n_classes"])
    scores = scores.dropna(subset="value")
    rules = similarity_tables.baselines(found, sources.rename_axis("source").reset_index(), scores)
    return found, scores, pd.concat([rules, probe], ignore_index=True)


def committed_draws(folder: Path) -> pd.DataFrame | None:
    """Return source, target, draw (1..5) and distance of the draws behind the published figure; None without the file."""
    if not (folder / COMMITTED).is_file():
        return None
    table = read(folder, COMMITTED).replace({"source": NAMES, "target": NAMES})
    columns = [f"distance_{draw}" for draw in range(1, 6)]
    long = table.melt(PAIR, columns, var_name="draw")
    return long.assign(draw=long["draw"].str.removeprefix("distance_").astype(int))
