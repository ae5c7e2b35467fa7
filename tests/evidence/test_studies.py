"""The published tables agree with their descriptions."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from catscans_lib import results
from catscans_lib.errors import InputError
from catscans_lib.evidence import studies

ROOT = Path(__file__).resolve().parents[2]
KEY = ["source", "backbone", "target", "mode", "n_train", "metric", "fold", "seed"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with a copy of the published tables, to spoil."""
    shutil.copytree(ROOT / "evidence", tmp_path / "evidence")
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    return tmp_path / "evidence"


def test_every_published_table_agrees_with_its_description_and_all_are_small():
    described, tables = studies.described(), studies.load()
    assert set(described) == set(tables) == {path.stem for path in (ROOT / "evidence").glob("*.csv")}
    keys = re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text(), flags=re.M)
    for name, study in described.items():
        if study.repository:
            assert study.citation in keys and "/" in study.repository
        else:  # our own runs
            assert name.startswith("own_") and study.versions and "+changes" not in study.commit
        assert study.licence
        table = tables[name]
        assert set(pd.read_csv(ROOT / f"evidence/{name}.csv", nrows=0)) == set(study.columns)
        assert len(table) == study.rows
        assert set(table["mode"]) >= {study.mode} and set(table["metric"]) <= set(study.metrics)
        assert set(table["source_kind"]) <= {"natural", "medical", "none"}
        assert set(table["overlap"]) <= {"none", "possible", "known"}
        assert table["value"].notna().all() and table[["value", "low", "high"]].stack().dropna().between(0, 1).all()
        assert not table.duplicated([*KEY, *study.keys]).any()
    assert sum(path.stat().st_size for path in (ROOT / "evidence").rglob("*.*")) < 1.1e6


def test_facts_that_the_sources_state_are_in_the_tables():
    tables = studies.load()
    original, xray, pathology = (tables[name] for name in ("cats_scans", "xray_scale", "pathology"))
    assert (
        original.groupby(["source", "target"]).size().eq(5).all()
        and original.groupby(["source", "target"]).ngroups == 24
    )
    best = original[(original["source"] == "imagenet") & (original["target"] == "isic2018")]
    assert best["value"].mean() == pytest.approx(0.946338, abs=1e-6)
    assert xray.groupby("target").size().to_dict() == {"covidx": 420, "padchest": 249, "tuberculosis": 375}
    assert pathology.groupby("target").size().eq(32).all() and pathology["target"].nunique() == 41
    assert pathology[["low", "value", "high"]].notna().all(axis=None)


def test_results_evidence_returns_all_outcomes_in_one_table():
    table = results.evidence()
    assert len(table) == sum(study.rows for study in studies.described().values())
    assert set(table["study"]) == set(studies.described()) and ["study", *studies.COLUMNS] == list(table)[:16]


@pytest.mark.parametrize(
    ("changes", "message"), [({"licence": None}, "medmnist: licence got None"), ({"caveats": []}, "caveats got []")]
)
def test_a_record_without_licence_or_caveats_is_refused(changes, message, folder):
    path = folder / "studies.yaml"
    content = yaml.safe_load(path.read_text())
    content["medmnist"] |= changes
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=re.escape(message)):
        studies.load()


def test_text_in_a_column_of_numbers_is_refused(folder):
    path = folder / "medmnist.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[0, "leep"] = "high"
    table.to_csv(path, index=False)
    with pytest.raises(ValueError, match="high"):
        studies.load()


def test_an_unknown_study_is_refused(folder):
    with pytest.raises(InputError, match="Unknown study 'mednist'; known: cats_scans,"):
        studies.read("mednist")


def test_printed_names_are_of_names_that_occur_and_no_two_targets_share_one():
    tables = pd.concat(studies.load().values())
    stated = yaml.safe_load((ROOT / "evidence/titles.yaml").read_text())
    assert set(stated) <= {*tables["source"], *tables["target"], *tables["backbone"]}
    targets = [studies.printed(name, studies.titles()) for name in tables["target"].unique()]
    assert len(set(targets)) == len(targets)
    assert studies.printed("er_status (resnet50x1_bit)", studies.titles()) == "ER status (BiT ResNet-50x1)"
