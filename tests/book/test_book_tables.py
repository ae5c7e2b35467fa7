"""All tables in one zip, every column described, the same bytes for the same results."""

import io
import json
import re
import shutil
import zipfile

import pandas as pd
import pytest
import small_book
import yaml
from click.testing import CliRunner

from catscans_lib import results
from catscans_lib.book import tables
from catscans_lib.cli import main
from catscans_lib.errors import InputError

CITED = {
    "title": 'Cats "or"', "authors": "A and B", "text": "A and B (2026).", "published": "2026-11-24", "version": "0.1.0",
    "licence": "MIT", "doi": "", "address": "https://github.com/a/b",
}  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    small_book.make(tmp_path)
    shutil.copytree(small_book.ROOT / "evidence", tmp_path / "evidence")
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    small_book.add_results("sample")
    small_book.add_similarity("sample")
    return tmp_path


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_every_column_of_every_table_is_described(project):
    found = tables.of_profile("sample")
    assert {"evidence", "aucs", "auc_intervals", "comparisons", "similarity"} <= {table.name for table in found}
    assert [(t.name, column.name) for t in found for column in t.columns if not column.meaning] == []


def test_the_zip_holds_the_tables_unchanged_and_the_same_results_give_the_same_bytes(project):
    first = tables.packed("sample", CITED)
    assert first == tables.packed("sample", CITED)
    files = members(first)
    expected = results.read_table(project / "results/sample/tables/aucs.csv")
    pd.testing.assert_frame_equal(results.read_table(io.BytesIO(files["aucs.csv"])), expected)
    listed = pd.read_csv(io.BytesIO(files["dictionary.csv"]), keep_default_na=False)
    auc = listed[(listed["table"] == "aucs") & (listed["column"] == "auc")].iloc[0]
    assert tuple(auc[["type", "unit"]]) == ("number", "0 to 1")
    assert len(pd.read_csv(io.BytesIO(files["evidence.csv"]))) == len(results.evidence())


def test_the_metadata_list_every_file_with_its_checksum_and_every_column_with_its_type(project):
    import hashlib

    files = members(tables.packed("sample", CITED))
    described = json.loads(files["croissant.json"])
    assert {one["@id"]: one["sha256"] for one in described["distribution"]} == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name not in ("croissant.json", "dictionary.csv")
    }
    assert (described["datePublished"], described["version"]) == ("2026-11-24", "0.1.0")
    fields = {field["@id"]: field["dataType"] for one in described["recordSet"] for field in one["field"]}
    kinds = [fields[f"aucs/{column}"] for column in ("source", "fold", "auc")]
    assert kinds == ["sc:Text", "sc:Integer", "sc:Float"]


def test_the_name_of_a_run_becomes_a_column_and_large_tables_stay_out(project):
    for target in ("chest", "isic2018"):
        folds = project / f"results/sample/folds/{target}.csv"
        folds.parent.mkdir(exist_ok=True)
        folds.write_text("image_id,group,label,fold\n007,p1,a,1\n")
    small_book.add_run("sample", "transfer", "a--b", predictions=pd.DataFrame({"image_id": ["1"], "score_a": [0.5]}))
    found = {table.name: table for table in tables.of_profile("sample")}
    assert list(found["folds"].content["target"]) == ["chest", "isic2018"]
    assert list(found["folds"].content["image_id"]) == ["007", "007"]
    assert found["predictions"].is_large and "predictions.csv" not in members(tables.packed("sample", CITED))
    assert found["predictions"].columns[-1] == (
        "score_a",
        "number",
        "0 to 1",
        "predicted probability of the class in the name",
    )


def test_a_column_that_nobody_described_is_kept_and_shown_without_a_meaning(project):
    path = project / "results/sample/tables/ranks.csv"
    path.write_text("source,novel\ndtd,1\n")
    (table,) = [table for table in tables.of_profile("sample") if table.name == "ranks"]
    assert table.columns[1] == ("novel", "whole number", "", "")


def test_parquet_is_read_back_or_says_what_to_install(project):
    if not __import__("importlib").util.find_spec("pyarrow"):
        with pytest.raises(InputError, match="Parquet needs pyarrow, which is not installed. Install it"):
            tables.packed("sample", CITED, parquet=True)
        return
    files = members(tables.packed("sample", CITED, parquet=True))
    assert len(pd.read_parquet(io.BytesIO(files["aucs.parquet"]))) == 10


def test_a_profile_without_results_and_the_command(project, tmp_path):
    assert set(members(tables.packed("demo", CITED))) == {"evidence.csv", "dictionary.csv", "croissant.json"}
    shutil.rmtree(project / "evidence")
    with pytest.raises(InputError, match="Profile 'demo' has no tables. Make them"):
        tables.packed("demo", CITED)
    done = CliRunner().invoke(main.main, ["tables", str(tmp_path / "t.zip"), "--profile", "sample"])
    assert done.exit_code == 0 and zipfile.is_zipfile(tmp_path / "t.zip")


def test_the_dictionary_names_every_file_once():
    stated = yaml.safe_load((small_book.ROOT / "book/dictionary.yaml").read_text())
    files = [facts.get("file") for facts in stated["tables"].values()]
    assert len(files) == len(set(files)) and all(
        facts["about"].endswith((".", "?")) for facts in stated["tables"].values()
    )


def test_every_table_that_a_step_saves_is_in_the_dictionary_and_its_columns_are_described():
    from catscans_lib.evaluation import backbones, sizes, variance

    stated = yaml.safe_load((small_book.ROOT / "book/dictionary.yaml").read_text())
    stems = {facts["file"].rpartition("/")[2] for facts in stated["tables"].values() if "file" in facts}
    steps = [
        path for path in (small_book.ROOT / "notebooks").glob("*.ipynb") if path.stem not in ("recommend", "reanalysis")
    ]
    saved = {f"{name}.csv" for path in steps for name in re.findall(r'save_table\(\\"(\w+)\\"', path.read_text())}
    assert len(saved) > 40 and saved <= stems
    columns = [
        *sizes.CURVES,
        *sizes.CROSSINGS,
        *variance.COMPONENTS,
        *variance.DIFFERENCES,
        *backbones.RANKS,
        *backbones.AGREEMENT,
    ]
    assert set(columns) - set(stated["columns"]) == set()
