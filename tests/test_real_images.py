"""Advice on real images held out of every source: cells out of blood smears, on a small sweep of the real sample.

What the advice is worth is not believed but measured here: a linear probe of every source's network on these very cells.
"""

import json
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tiny
import yaml
from PIL import Image
from reference import REALDATA

from catscans_lib.datasets import own
from catscans_lib.images import store
from catscans_lib.similarity import registry
from catscans_lib.similarity.measure import Inputs
from catscans_lib.transferability import source_features

pytestmark = pytest.mark.slow
WEIGHTS = REALDATA.parent / "weights"
SOURCES = ("imagenet", "dtd", "isic2018", "chest")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A folder of three kinds of blood cell, cut out of smears at their published boxes; a smear's cells are a group."""
    if not REALDATA.is_dir():
        pytest.skip("no real images: ../shared/realdata beside the repository is absent")
    folder = tmp_path_factory.mktemp("own") / "cells"
    for annotation in sorted((REALDATA / "bccd/BCCD/Annotations").glob("*.xml")):
        smear = Image.open(REALDATA / f"bccd/BCCD/JPEGImages/{annotation.stem}.jpg").convert("RGB")
        for number, cell in enumerate(list(ET.parse(annotation).getroot().iter("object"))[:3]):
            left, top, right, bottom = (
                int(cell.find(f"bndbox/{end}").text) for end in ("xmin", "ymin", "xmax", "ymax")
            )
            if min(right - left, bottom - top) >= 16:
                place = folder / cell.find("name").text
                place.mkdir(parents=True, exist_ok=True)
                smear.crop((left, top, right, bottom)).resize((112, 112)).save(
                    place / f"{annotation.stem}_{number}.png"
                )
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The sample profile cut down: two epochs of each source, linear probes only, the measures that advice rests on."""
    if not (REALDATA.is_dir() and WEIGHTS.is_dir()):
        pytest.skip(
            "no real images or weights: ../shared/realdata or ../shared/weights beside the repository is absent"
        )
    folder = tiny.project(tmp_path_factory.mktemp("real"))
    shutil.copytree(tiny.ROOT / "evidence", folder / "evidence")
    content = yaml.safe_load((tiny.ROOT / "params/sample.yaml").read_text())
    content["folds"]["n_folds"] = 3
    targets = SOURCES[2:]
    content["datasets"] = {name: {"size_px": 112} for name in SOURCES}
    content["pretrain"]["sources"] = {name: content["pretrain"]["sources"][name] for name in SOURCES}
    content["transfer"] |= {"targets": dict.fromkeys(targets), "seeds": [0]}
    content["pretrain"]["sources"] |= {name: {"epochs": 2} for name in SOURCES[1:]}
    content["transfer"] |= {"modes": ["linear_probe"], "include_none": False}
    measures = ["logme", "linear_probe_auc", "regularised_h_score", "sfda", "n_leep", "mmd_rbf"]
    content["similarity"] |= {"n_images": 150, "seeds": [0], "measures": measures}
    content["transferability"]["n_draws"] = 100
    content["primary"]["mode"] = "linear_probe"
    tiny.write_grid(folder, content, "sample")
    given = {"CATSCANS_DATA": str(REALDATA), "CATSCANS_WEIGHTS": str(WEIGHTS)}
    swept = tiny.catscans(folder, "sweep", "--profile", "sample", "evaluate/all", "transferability/all", **given)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    return folder


def test_the_advice_on_cells_loses_less_than_a_random_choice(cells, project, monkeypatch, tmp_path):
    words = ("recommend", str(cells), "--from", "sample", "--group-pattern", r"(.*)_\d+", "--json")
    told = tiny.catscans(project, *words)
    assert told.returncode == 0, told.stdout + told.stderr
    advice = json.loads(told.stdout)
    monkeypatch.setenv("CATSCANS_ROOT", str(project))
    assert {row["source"] for row in advice["advice"]} - {"none"} == set(SOURCES) and advice["mode"] == "linear_probe"
    assert sum(advice["images"]["classes"].values()) == advice["images"]["n_read"]
    listing = own.OwnCard(title="cells", form="folder", place=str(cells), group_pattern=r"(.*)_\d+").read(cells.parent)
    store.write(tmp_path / "cells.h5", listing, dataset="own", size_px=112)
    opened = store.open_store(tmp_path / "cells.h5")
    seen = store.subset(opened, np.arange(len(opened.table)), len(opened.table), 0)
    networks, truth = source_features.SourceFeatures("sample", "imagenet"), {}
    for source in SOURCES:  # a linear probe on the source's features of all the cells, folds by smear
        given = Inputs(features=networks.features(source, seen), labels=seen.labels, groups=seen.groups)
        truth[source] = registry.get("linear_probe_auc").compute(given)
    regret = {source: max(truth.values()) - auc for source, auc in truth.items()}
    assert regret[advice["advice"][0]["source"]] < np.mean(list(regret.values()))
    gain = {row["source"]: row["gain"] for row in advice["advice"]}
    assert np.corrcoef([gain[source] for source in SOURCES], [truth[source] for source in SOURCES])[0, 1] > 0
