import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tiny

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.runs import contents


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a finished run."""
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    folder = paths.run_dir("demo", "stability", "all")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"status": "completed", "run_id": "one"}))
    return folder


@pytest.mark.parametrize("damage", ["", "{", '{"status": "comp', "[]", "null", "{}", "\0" * 9, '{"status": "failed"}'])
def test_a_run_with_a_damaged_record_is_not_done_and_is_named_in_one_line(run, damage, capsys):
    assert results.is_done("demo", "stability/all")
    (run / "run.json").write_text(damage)
    assert not results.is_done("demo", "stability/all")
    assert results.finished("demo", "stability") == []
    assert results.finished_at("demo", "stability/all") == float("-inf")
    with pytest.raises(InputError, match="stability/all is not done in profile demo. Make it"):
        results.record("demo", "stability/all")
    said = capsys.readouterr().err.splitlines()
    is_damaged = "failed" not in damage
    assert (
        said
        == ["results/demo/stability/all/run.json is damaged, so its run counts as not done and runs again."]
        * is_damaged
    )


def test_a_finished_run_is_on_disk_before_it_takes_its_place(run, monkeypatch):
    work = results.new_work_dir("demo", "stability", "all")
    for name in ("run.json", "history.csv", "figures/one.svg"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).touch()
    synced, moved = [], []
    monkeypatch.setattr(os, "fsync", lambda opened: synced.append(str(Path(f"/proc/self/fd/{opened}").readlink())))
    replace = paths.replace_folder
    monkeypatch.setattr(paths, "replace_folder", lambda *given: moved.append(set(synced)) or replace(*given))
    results.publish("demo", "stability", "all")
    assert moved[0] >= {str(work), *(str(work / name) for name in ("run.json", "history.csv", "figures/one.svg"))}
    assert synced[-1] == str(run.parent)


def network(bias=0.0):
    model = keras.Sequential([keras.Input((3,), name="image"), keras.layers.Dense(2, name="head")])
    model.compile("adam", "mse")
    model.set_weights([np.ones((3, 2)), np.full(2, bias)])
    return model


CHANGES = {  # what is done to the folder, and whether its content stays
    "the record, the notebook and figures": (lambda run: [(run / name).write_text("x") for name in ("run.json", "a.svg")], True),
    "the same network saved again": (lambda run: (network().save(run / "model.keras"), _stamp(run / "model.keras")), True),
    "the same network built after another": (lambda run: network().save(run / "model.keras"), True),
    "other weights": (lambda run: network(0.1).save(run / "model.keras"), False),
    "a table": (lambda run: (run / "history.csv").write_text("epoch\n2\n"), False),
    "a shared table": (lambda run: (run / "tables/aucs.csv").write_text("auc\n0.6\n"), False),
    "a table less": (lambda run: (run / "history.csv").unlink(), False),
}  # fmt: skip


def _stamp(path):
    """Give a saved network another date, and the mark of another process."""
    with zipfile.ZipFile(path) as archive:
        held = {info.filename: archive.read(info) for info in archive.infolist()}
    held["config.json"] = held["config.json"].replace(b"{", b'{"shared_object_id": 139970398613968, ', 1)  # an address
    held["metadata.json"] = b'{"date_saved": "2001-01-01"}'
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in held.items():
            archive.writestr(zipfile.ZipInfo(name, (2001, 1, 1, 0, 0, 0)), content)


@pytest.mark.parametrize("change", CHANGES)
def test_the_content_of_a_run_is_its_tables_and_networks(run, change):
    do, stays = CHANGES[change]
    (run / "tables").mkdir()
    for name, text in (("history.csv", "epoch\n1\n"), ("tables/aucs.csv", "auc\n0.5\n")):
        (run / name).write_text(text)
    network().save(run / "model.keras")
    before = contents.of_results(run)
    do(run)
    assert (contents.of_results(run) == before) is stays


def test_a_blank_cell_among_numbers_is_a_missing_number_and_texts_stay_texts(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("class,found,words,ceiling,label\nNA,1.5,,,007\nb,,x,,\n")
    table = results.read_table(path)
    assert table["found"].tolist()[0] == 1.5 and table["found"].isna().tolist() == [False, True]
    assert table["ceiling"].isna().all() and table["words"].tolist() == ["", "x"]
    assert table["class"].tolist() == ["NA", "b"] and table["label"].tolist() == ["007", ""]


@pytest.mark.parametrize("path", sorted((tiny.ROOT / "evidence/more").glob("own_*.csv")), ids=lambda path: path.stem)
def test_a_column_of_numbers_that_is_blank_in_every_row_is_read_as_missing_numbers(path, tmp_path):
    known = pd.read_csv(path, keep_default_na=False, na_values=[""])
    numbers = known.select_dtypes("float").dropna(axis=1, how="all").columns
    known.assign(**dict.fromkeys(numbers)).to_csv(tmp_path / "blank.csv", index=False)
    read = results.read_table(tmp_path / "blank.csv")
    assert {name: read[name].dtype.kind for name in numbers} == dict.fromkeys(numbers, "f")


def test_tables_of_base_runs_leave_variants_out_and_tables_of_variants_say_what_differs(tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))

    def finish(step, name, text="", **facts):
        folder = paths.run_dir("demo", step, name)
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"status": "completed", "run_id": name} | facts))
        (folder / "predictions.csv").write_text(f"image_id,fold\n{text or name},1\n")

    for name in ("dtd--chest@20", "dtd@1--chest", "none+resnet50--chest"):
        backbone = "resnet50" if "+" in name else "squeezenet"
        finish("transfer", name, parameters={"backbone": backbone}, n_train=20 if "@20" in name else 80)
    with pytest.raises(InputError, match="Profile demo has no finished transfer run"):
        results.transfers("demo")
    finish("transfer", "dtd--chest", parameters={"backbone": "squeezenet"}, n_train=80)
    for name, seed in {"dtd": 0, "dtd@1": 1}.items():
        finish("pretrain", name, parameters={"seed": seed})
    assert results.transfers("demo") == [("dtd--chest", "dtd", "chest")]
    assert results.of_transfers("demo", "predictions")["image_id"].tolist() == ["dtd--chest"]
    assert results.run_ids("demo") == {("dtd", "chest"): "dtd--chest"}
    found = results.of_variants("demo", "predictions").astype({"pretrain_seed": object})
    rows = found.where(found.notna(), None).drop(columns="fold").to_numpy().tolist()
    assert rows == [
        ["dtd", "chest", "squeezenet", 0, 80, "", "dtd--chest"],
        ["dtd", "chest", "squeezenet", 0, 20, "size", "dtd--chest@20"],
        ["dtd", "chest", "squeezenet", 1, 80, "seed", "dtd@1--chest"],
        ["none", "chest", "resnet50", None, 80, "backbone", "none+resnet50--chest"],
    ]


FILES = {  # texts of the tables of several runs
    "plain": ("image_id,fold\n007,1\nb,2\n", "image_id,fold\nc,1\n"),
    "other columns": ("image_id,score_a\nb,.5\n", "image_id,score_b\nc,.25\n", "image_id,score_a\nd,.75\n"),
    "a comma, a quote and a line break in a name": ('image_id,fold\n"a,b",1\n"a\nb",2\n', 'image_id,fold\n"""c",3\n'),
    "a table without rows": ("image_id,fold\n", "image_id,fold\na,1\n", "image_id,fold\n"),
    "no line break at the end, and two": ("image_id,fold\na,1", "image_id,fold\nb,1\n\n", "image_id,fold\nc,2"),
    "line ends of Windows": ("image_id,fold\r\na,1\r\nb,1\r\n", "image_id,fold\r\nc,1\r\n"),
    "missing numbers": ("image_id,auc\na,\nb,.5\n", "image_id,auc\nc,\n"),
}


@pytest.mark.parametrize("texts", FILES.values(), ids=FILES)
def test_tables_of_many_runs_are_read_as_each_alone_is(texts, tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    alone = []
    for number, text in enumerate(texts):
        folder = paths.run_dir("demo", "transfer", f"source{number}--chest")
        folder.mkdir(parents=True)
        (folder / "run.json").write_text('{"status": "completed", "run_id": "r"}')
        (folder / "history.csv").write_bytes(text.encode())
        one = results.table("demo", "transfer", folder.name, "history")
        alone.append(
            pd.concat([pd.DataFrame({"source": f"source{number}", "target": "chest"}, one.index), one], axis=1)
        )
    expected = pd.concat([one for one in alone if len(one)], ignore_index=True)
    pd.testing.assert_frame_equal(results.of_transfers("demo", "history"), expected, check_dtype=False)
