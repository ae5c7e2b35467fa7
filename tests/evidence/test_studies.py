"""The published tables agree with their descriptions, and a faulty one is refused by file, line and rule."""

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
        assert list(tables[name]) == ["study", *study.columns]
        assert set(tables[name]["mode"]) >= {study.mode}
    assert sum(path.stat().st_size for path in (ROOT / "evidence").rglob("*.*")) < 1e6


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


def spoil(column, value, line=2):
    def change(folder):
        path = folder / "medmnist.csv"
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table.loc[line - 2, column] = value
        table.to_csv(path, index=False)

    return change


def describe(**changes):
    def change(folder):
        path = folder / "studies.yaml"
        content = yaml.safe_load(path.read_text())
        content["medmnist"] |= changes
        content["medmnist"] = {name: value for name, value in content["medmnist"].items() if value is not None}
        path.write_text(yaml.safe_dump(content))

    return change


def drop(folder):
    path = folder / "medmnist.csv"
    pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns="overlap").to_csv(path, index=False)


FAULTS = {
    "AUC of 1.2": (spoil("value", "1.2", line=7), "evidence/medmnist.csv, line 7: value is '1.2'; metrics lie in [0, 1]."),
    "no value": (spoil("value", ""), "line 2: value is 'nan'; every row needs a value."),
    "text": (spoil("leep", "high"), "line 2: leep is 'high'; a number or an empty cell is needed."),
    "kind": (spoil("source_kind", "cats"), "line 2: source_kind is 'cats'; known: natural, medical, none."),
    "metric": (spoil("metric", "accuracy"), "line 2: metric is 'accuracy'; known: auc."),
    "key": (spoil("source", "radimagenet"), "line 3: value is '0.9955918768'; another row has the same source, backbone"),
    "column": (drop, "medmnist.csv has other columns than described (missing or unknown: overlap). Known: source,"),
    "rows": (describe(rows=167), "medmnist.csv has 168 rows; evidence/studies.yaml says 167."),
    "licence": (describe(licence=None), "evidence/studies.yaml: medmnist: 'licence' is missing."),
    "caveats": (describe(caveats=[]), "evidence/studies.yaml: medmnist: caveats got []"),
    "file": (lambda folder: (folder / "medmnist.csv").unlink(), "evidence/medmnist.csv is missing"),
    "entry": (lambda folder: shutil.copy(folder / "medmnist.csv", folder / "more.csv"), "more.csv has no entry there"),
    "yaml": (lambda folder: (folder / "studies.yaml").write_text("a: ["), "evidence/studies.yaml cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_table_or_description_is_refused_by_file_line_and_rule(fault, folder):
    change, message = FAULTS[fault]
    change(folder)
    with pytest.raises(InputError, match=re.escape(message)):
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
