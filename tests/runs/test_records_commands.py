"""The commands list, show and compare records."""

import io
import json
import shutil

import pandas as pd
import pytest
from click.testing import CliRunner

from catscans_lib import paths
from catscans_lib.book import run_pages
from catscans_lib.cli import main
from catscans_lib.runs.records import reading, recorded, tables

# Scores of the positive class. Of four pairs in fold 1 the first run ranks three correctly, the second all; in fold 2 both all.
SCORES = {"dtd": ([0.1, 0.6, 0.5, 0.9], [0.1, 0.2, 0.8, 0.9]), "none": ([0.1, 0.2, 0.5, 0.9], [0.1, 0.2, 0.8, 0.9])}


def transfer(source, learning_rate):
    """Record a transfer of two folds and two epochs, with predictions whose AUCs are known."""
    key = f"transfer/{source}--chest"
    folder = paths.work_dir("demo", *key.split("/"))
    folder.mkdir(parents=True)
    config = {"source": source, "learning_rate": learning_rate, "seeds": [0], "augmentation": {"shift": 0.1}}
    rows = [
        (f"{fold}{i}", fold, 0, "fine_tune", "NP"[i > 1], 1 - score, score)
        for fold, scores in enumerate(SCORES[source], start=1)
        for i, score in enumerate(scores)
    ]
    predictions = pd.DataFrame(rows, columns=["image_id", "fold", "seed", "mode", "label", "score_N", "score_P"])
    history = [
        ("fine_tune", fold, 0, epoch, "validation", "auc", fold / 10 + epoch) for fold in (1, 2) for epoch in (1, 2)
    ]
    columns = ["mode", "fold", "seed", "epoch", "split", "metric", "value"]

    def work():
        print(f"training from {source}")
        predictions.to_csv(folder / "predictions.csv", index=False)
        pd.DataFrame(history, columns=columns).to_csv(folder / "history.csv", index=False)
        facts = {"data": {"chest": "cd" * 32}, "inputs": {"ingest/chest": "i"}, "n_images": 8, "peak_memory_mb": 900.0}
        (folder / "run.json").write_text(json.dumps({"run_id": f"transfer-{source}--chest-1", **facts}))

    recorded("demo", key, config, folder, work)


@pytest.fixture
def project(project):
    transfer("dtd", 0.001)
    transfer("none", 0.002)
    return project


def said(*words, status=0):
    result = CliRunner().invoke(main.main, ["records", *words])
    assert result.exit_code == status, result.output
    return result.output


def test_a_record_is_found_by_number_run_id_or_run(project):
    shutil.rmtree(paths.work_dir("demo", "transfer", "dtd--chest"))
    transfer("dtd", 0.005)
    numbers = [reading.find("demo", name)["number"] for name in ("1", "transfer-none--chest-1", "transfer/dtd--chest")]
    assert numbers == ["1", "2", "3"]
    message = said("show", "transfer/chest", status=2)
    assert "Unknown record 'transfer/chest' in results/demo/records" in message
    assert "transfer/dtd--chest, transfer/none--chest" in message


def test_differences_are_listed_by_section_and_printed_a_line_each(project):
    found = tables.differences("demo", reading.find("demo", "1"), reading.find("demo", "2"))
    assert found["parameters"] == {"source": ["dtd", "none"], "learning_rate": [0.001, 0.002]}
    assert found["results"] == {"auc.fine_tune": [pytest.approx(0.875), 1.0]}  # (3/4 + 1) / 2
    same = ["code", "data", "inputs", "versions", "keras", "machine"]
    assert [name for name, pairs in found.items() if not pairs] == same
    lines = said("diff", "transfer/dtd--chest", "transfer/none--chest").splitlines()
    assert "parameters: learning_rate: 0.001 -> 0.002" in lines
    assert "results: auc.fine_tune: 0.875 -> 1.0" in lines
    assert "code: the same" in lines


def test_a_changed_module_and_an_updated_package_are_named(project):
    path = paths.records_dir("demo") / "2/run.json"
    entry = json.loads(path.read_text())
    listed = entry["experiment"]["dependencies"]
    entry["experiment"]["dependencies"] = ["keras==9.9" if line.startswith("keras==") else line for line in listed]
    sources = entry["experiment"]["sources"]
    module = next(pair for pair in sources if pair[0].endswith("catscans_lib/training/loop.py"))
    module[1] = "_sources/training_0123456789abcdef0123456789abcdef.py"
    path.write_text(json.dumps(entry))
    found = tables.differences("demo", reading.find("demo", "1"), reading.find("demo", "2"))
    assert list(found["versions"]) == ["keras"]
    assert found["versions"]["keras"][1] == "9.9"
    assert list(found["code"]) == [module[0]]
    assert found["code"][module[0]][1] == "0123456789ab"


def test_the_table_has_a_column_for_every_result_and_parameter(project):
    table = pd.read_csv(io.StringIO(said("table")))
    assert list(table["run"]) == ["transfer/dtd--chest", "transfer/none--chest"]
    assert list(table["parameter.learning_rate"]) == [0.001, 0.002]
    assert list(table["parameter.augmentation.shift"]) == [0.1, 0.1]
    assert list(table["result.auc.fine_tune"]) == [0.875, 1.0]
    assert len(said("table", "--run", "transfer/none--chest").splitlines()) == 2


def test_ls_and_show_print_records_and_messages_say_how_to_make_what_is_missing(project):
    assert [line.split()[2] for line in said("ls").splitlines()] == ["status", "COMPLETED", "COMPLETED"]
    page = said("show", "1")
    assert "\n  learning_rate: 0.001\n" in page
    assert "output\ntraining from dtd" in page
    assert f"    chest: {'cd' * 32}\n" in page
    assert "steps with records: transfer" in said("ls", "--run", "pretrain", status=2)
    shutil.rmtree(paths.records_dir("demo"))
    assert "catscans sweep --profile demo" in said("show", "1", status=2)


def test_a_page_of_the_book_offers_the_record_of_its_own_result_only(project):
    run = {"name": "dtd--chest", "page": "p", "record": "1", "run_id": "transfer-dtd--chest-1"}
    files = run_pages.records("demo", {"transfer": [run, {**run, "name": "x", "run_id": "another"}]})
    record = json.loads(files["records/transfer/dtd--chest.json"])
    assert (record["number"], record["config"]["learning_rate"]) == ("1", 0.001)
    assert record["versions"]["numpy"]
    assert str(project) not in files["records/transfer/dtd--chest.json"].decode()
    assert "config" not in json.loads(files["records/transfer/x.json"])  # the record is of another result
