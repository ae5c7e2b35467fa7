"""A tiny sweep with a target and a source whose images may have several findings, in the layout of ChestMNIST."""

import numpy as np
import pandas as pd
import pytest
import tiny

from catscans_lib import results
from catscans_lib.images import folds, store

NAMES = ("edema", "mass", "rare")


def write_chest(path, seed):
    """Grey images in which each finding is a bright spot at its own place; the rare one is in a few images."""
    rng, arrays = np.random.default_rng(seed), {}
    for split, n in (("train", 120), ("val", 30)):
        has = rng.random((n, 3)) < [0.4, 0.3, 0.03]
        images = rng.normal(90, 20, (n, 28, 28))
        for number, (top, left) in enumerate(((4, 4), (4, 18), (18, 10))):
            images[:, top : top + 7, left : left + 7] += 120 * has[:, number, None, None]
        arrays |= {f"{split}_images": images.clip(0, 255).astype(np.uint8), f"{split}_labels": has.astype(np.uint8)}
    np.savez(path, **arrays)
    return arrays


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tiny.project(tmp_path_factory.mktemp("project"))
    content = tiny.grid()
    content["pretrain"]["sources"], content["transfer"]["targets"] = {}, {}
    content["datasets"] = {"dtd": content["datasets"]["dtd"]}
    content["pretrain"]["sources"] = {"dtd": {"epochs": 1}}
    content["transfer"]["defaults"] |= {"epochs": 12, "mixup": 0.2, "validation_share": 0.15}
    tiny.write_grid(folder, content)
    for seed, (name, role) in enumerate((("lungs", "target"), ("scans", "source"))):
        write_chest(folder / f"{name}.npz", seed)
        names = [
            "--class-names",
            ",".join(NAMES),
            "--profile",
            "demo",
            "--as",
            role,
            "--size-px",
            "24",
            "--resize",
            "crop",
        ]
        added = tiny.catscans(folder, "dataset", "add", name, f"{name}.npz", *names)
        assert added.returncode == 0 and "(No finding" in added.stdout, added.stderr
    swept = tiny.catscans(folder, "sweep")
    assert swept.returncode == 0, swept.stderr
    return folder


@pytest.mark.slow
def test_several_findings_go_from_the_file_to_aucs_and_measures(project, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(project))
    assert "multi_label: '|'" in (project / "params/datasets/lungs.yaml").read_text()
    made = folds.read(project / "results/demo/folds/lungs.csv")
    opened = store.open_store(next((project / "data/demo").rglob("lungs*.h5")))
    assert opened.classes == NAMES and opened.findings.sum(axis=1).max() > 1
    tables = results.load("demo")
    predictions = tables["predictions"].query("target == 'lungs' and source == 'scans'")
    assert predictions.groupby(["mode"])["image_id"].nunique().to_dict() == {"fine_tune": 150, "linear_probe": 150}
    truth = pd.DataFrame(opened.findings.astype(float), opened.table["image_id"], [f"true_{name}" for name in NAMES])
    assert (predictions[truth.columns].to_numpy() == truth.loc[predictions["image_id"]].to_numpy()).all()
    aucs = tables["aucs"]
    assert set(aucs["average"]) == {"macro"} and set(aucs["source"]) == {"none", "dtd", "scans"}
    assert aucs.query("source == 'scans'")["auc"].mean() > 0.8  # bright spots at fixed places
    learning = tables["learning"].query("source == 'scans' and mode == 'fine_tune'")
    share = opened.findings.mean(axis=0)
    assert learning["constant_loss"].iloc[0] == pytest.approx(np.log(2))  # balanced weights of every finding
    assert (learning["training_loss"] < learning["constant_loss"]).all() and 0 < share.min() < 0.1
    n_folds = tables["class_aucs"].query("`class` == 'rare'").groupby("source")["auc"].count()
    assert set(made["fold"]) == {1, 2, 3} and (n_folds >= 1).all()
    similarity = results.of_similarities("demo")
    assert {"linear_probe_auc", "mmd_rbf"} == set(similarity["measure"])
    problems = results.of_similarities("demo", which="problems").set_index(["source", "measure"])["problem"]
    assert "exclude each other" in problems["dtd", "logme"] and "LogME" in problems["dtd", "logme"]
    assert "its head gives no class probabilities" in problems["scans", "leep"]
    assert "Task2Vec's head" in problems["dtd", "task2vec_cosine"]
    assert (project / "results/demo/evaluate/all/figures/findings_lungs_fine_tune.svg").stat().st_size


@pytest.mark.slow
def test_the_book_of_several_findings_builds_and_counts_images_not_findings(project):
    built = tiny.catscans(project, "book", "--no-sweep")
    assert built.returncode == 0, built.stderr
    card = (project / "_build/demo/source/datasets/lungs.md").read_text()
    assert "| images, as published | 150 |" in card and "| images, found here | 150 |" in card
