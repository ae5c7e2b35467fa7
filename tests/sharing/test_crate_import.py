"""An import brings results back byte for byte on another machine, and refuses everything that could do harm."""

import io
import json
import re
import shutil
import zipfile

import finished
import fixtures
import pytest
import tiny
from click.testing import CliRunner

from catscans_lib import book, paths, results
from catscans_lib.cli import main
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.runs import recipe
from catscans_lib.sharing.crate import metadata
from catscans_lib.sharing.crate.export import export
from catscans_lib.sharing.crate.restore import restore
from catscans_lib.sweep import engine

RUN = "results/demo/transfer/dtd--chest"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The project's folder and its crate."""
    folder = finished.make(tmp_path_factory.mktemp("origin"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(folder))
        export("demo", folder.parent / "crate.zip")
    return folder, folder.parent / "crate.zip"


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The same project on another machine."""
    folder = finished.elsewhere(tmp_path / "there")
    monkeypatch.setenv("CATSCANS_ROOT", str(folder))
    return folder


def test_an_experiment_is_exported_and_imported_by_its_name(made, there, tmp_path, monkeypatch):
    shutil.copytree(made[0], tmp_path / "study")
    for place in ("params/{}.yaml", "results/{}", "data/{}"):
        (tmp_path / "study" / place.format("demo")).rename(tmp_path / "study" / place.format("demo+short"))
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path / "study"))
    export("demo+short", tmp_path / "crate.zip")
    with zipfile.ZipFile(tmp_path / "crate.zip") as archive:
        graph = json.loads(archive.read("ro-crate-metadata.json"))["@graph"]
    assert "params/demo+short.yaml" in {entity["@id"] for entity in graph}
    monkeypatch.setenv("CATSCANS_ROOT", str(there))
    assert restore(tmp_path / "crate.zip")[0] == "demo+short"
    assert all(results.is_done("demo+short", key) for key in expand.grid("demo+short"))


def test_results_come_back_byte_for_byte_and_give_the_same_book_without_a_run(made, there, monkeypatch):
    before = finished.files_in(there)
    restore(made[1])
    with zipfile.ZipFile(made[1]) as archive:
        carried = {name: archive.read(name) for name in archive.namelist() if name.startswith("results/")}
    after = finished.files_in(there)
    assert {name: after[name] for name in after.keys() - before.keys()} == carried
    assert {name: after[name] for name in before} == before
    for name in (f"{RUN}/model.keras", f"{RUN}/history.csv", f"{RUN}/run.json", "results/demo/tables/aucs.csv"):
        assert after[name] == (made[0] / name).read_bytes()  # other files name a folder of the first machine
    runs = expand.grid("demo")
    assert recipe.current("demo", runs) == list(runs)
    here = finished.pages(book.assemble("demo"))
    monkeypatch.setenv("CATSCANS_ROOT", str(made[0]))
    assert finished.pages(book.assemble("demo")) == here


def test_the_crate_of_imported_results_has_the_bytes_of_the_first(made, there, tmp_path):
    restore(made[1])
    export("demo", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == made[1].read_bytes()


def test_a_second_import_changes_nothing_and_completes_an_interrupted_one(made, there):
    restore(made[1])
    files = finished.files_in(there)
    assert restore(made[1])[2] == []
    (there / f"{RUN}/run.json").unlink()
    (there / f"{RUN}/history.csv").unlink()
    shutil.rmtree(there / "results/demo/evaluate")
    assert len(restore(made[1])[2]) == 2 + len([name for name in files if name.startswith("results/demo/evaluate/")])
    assert finished.files_in(there) == files


def test_the_record_of_a_run_comes_last(made, there, monkeypatch):
    placed, move = [], shutil.move
    monkeypatch.setattr(shutil, "move", lambda path, target: placed.append(path.name) or move(path, target))
    restore(made[1])
    first = placed.index("run.json")
    assert set(placed[first:]) == {"run.json"}


def test_a_dataset_is_ingested_again_if_a_changed_run_needs_its_images(made, there):
    restore(made[1])
    assert recipe.without_images("demo", expand.grid("demo")) == []
    grid = finished.read_yaml(there / "params/demo.yaml")
    grid["pretrain"]["sources"]["dtd"] = {"epochs": 2}
    tiny.write_grid(there, grid)
    runs = expand.grid("demo")
    assert sorted(recipe.without_images("demo", runs)) == ["ingest/chest", "ingest/dtd"]
    paths.store_path("demo", "dtd", finished.SIZE).parent.mkdir(parents=True)
    shutil.copy(made[0] / "data/demo/dtd_24px.h5", paths.store_path("demo", "dtd", finished.SIZE))
    assert recipe.without_images("demo", runs) == ["ingest/chest"]


def test_results_from_a_data_folder_are_up_to_date_elsewhere_until_other_images_are_given(tmp_path, monkeypatch):
    theirs, ours = tmp_path / "their data", tmp_path / "our data"
    for write in (fixtures.write_chest, fixtures.write_dtd):
        write(theirs)
    shutil.copytree(theirs, ours, copy_function=shutil.copyfile)
    monkeypatch.setenv("CATSCANS_DATA", str(theirs))
    monkeypatch.setenv("CATSCANS_ROOT", str(finished.make(tmp_path / "origin", native=True)))
    export("demo", tmp_path / "crate.zip")
    folder = finished.elsewhere(tmp_path / "there", native=True)
    monkeypatch.setenv("CATSCANS_ROOT", str(folder))
    monkeypatch.delenv("CATSCANS_DATA")
    restore(tmp_path / "crate.zip")
    runs = expand.grid("demo")
    assert recipe.current("demo", runs) == list(runs)
    monkeypatch.setenv("CATSCANS_DATA", str(ours))
    assert recipe.current("demo", runs) == list(runs)
    image = next((ours / "chest_xray").rglob("*.jpeg"))
    image.write_bytes(image.read_bytes() + b"x")
    assert recipe.current("demo", runs) == ["ingest/dtd"]
    assert str(theirs).encode() not in b"".join(finished.files_in(folder).values())


def test_other_results_are_named_and_never_overwritten_nor_written_through_a_link(made, there, tmp_path):
    (there / RUN).mkdir(parents=True)
    (there / f"{RUN}/history.csv").write_text("mine\n")
    before = finished.files_in(there)
    with pytest.raises(
        InputError, match="1 files are here already with other content: transfer/dtd--chest. .*mv results/demo"
    ):
        restore(made[1])
    assert finished.files_in(there) == before
    (there / f"{RUN}/history.csv").unlink()
    (there / f"{RUN}/history.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(InputError, match="other content: transfer/dtd--chest"):
        restore(made[1])
    assert not (tmp_path / "elsewhere.csv").exists()
    (there / f"{RUN}/history.csv").unlink()
    tiny.write_grid(there, finished.grid() | {"title": "mine"})
    with pytest.raises(InputError, match="other content: params/demo.yaml"):
        restore(made[1])


def test_code_chapters_images_and_hidden_files_are_not_imported(made, there, tmp_path):
    before = finished.files_in(there)
    changes = {
        "Snakefile": b"import os",
        "notebooks/transfer.ipynb": b"{}",
        "params/cluster/local/config.yaml": b"x",
        "Makefile": b"book:\n\trm -rf ~\n",
        "sitecustomize.py": b"",
        "data/demo/dtd_24px.h5": b"x",
        "results/demo/transfer/.x.work/run.json": b"{}",
        "params/datasets/a/b.yaml": b"x",
    }
    restore(finished.rewritten(made[1], tmp_path / "c.zip", changes))
    after = finished.files_in(there)
    assert {name: after[name] for name in before} == before
    new = after.keys() - before.keys()
    assert all(name.startswith("results/demo/") and "/." not in name for name in new)


BAD = {
    "outside": ({"../outside.csv": b"x"}, "below its folder|out of the folder"),
    "absolute": ({"/tmp/outside.csv": b"x"}, "below its folder|out of the folder"),
    "backslash": ({"results\\demo\\x.csv": b"x"}, "below its folder|out of the folder"),
    "pickle": ({f"{RUN}/model.pkl": b"x"}, "model.pkl: a crate holds results as"),
    "array of objects": ({f"{RUN}/features.npy": b"x"}, "features.npy: a crate holds results as"),
    "unknown kind": ({f"{RUN}/start.sh": b"x"}, "start.sh: a crate holds results as"),
    "layer with code": ({f"{RUN}/model.keras": finished.network("Lambda")}, "has a layer 'Lambda'"),
    "layer of one's own": ({f"{RUN}/model.keras": finished.network("Own>Layer")}, "which is not part of Keras"),
    "no network": ({f"{RUN}/model.keras": b"\x80\x04pickle"}, "is not a network as Keras saves it"),
    "two profiles": ({"params/other.yaml": b"x"}, "it has 2 profiles"),
    "no profile": ({"params/demo.yaml": None}, "it has 0 profiles"),
}
UNLISTED = {
    "not listed": ({f"{RUN}/more.csv": b"x"}, "not listed in .*more.csv"),
    "changed": (
        {f"{RUN}/history.csv": b"x"},
        "other than listed: .*history.csv",
    ),
    "missing": ({f"{RUN}/history.csv": None}, "missing, .*history.csv"),
    "no description": ({metadata.NAME: None}, "is not an RO-Crate"),
    "no list": ({metadata.NAME: b'{"@graph": [{"@id": "a", "@type": "File"}]}'}, "does not list its files"),
    "no JSON": ({metadata.NAME: b"["}, "does not list its files"),
}


@pytest.mark.parametrize("bad", [*BAD, *UNLISTED])
def test_a_harmful_or_changed_crate_is_refused_and_nothing_changes(made, there, tmp_path, bad):
    changes, said = (BAD | UNLISTED)[bad]
    before = finished.files_in(tmp_path)
    crate = finished.rewritten(made[1], tmp_path / "bad.zip", changes, listed=bad in BAD)
    with pytest.raises(InputError, match=said):
        restore(crate)
    crate.unlink()
    assert finished.files_in(tmp_path) == before
    assert not list((there / "results").glob(".*"))


def test_bombs_are_refused(made, there, tmp_path, monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(2_000_000))
    monkeypatch.setattr("catscans_lib.sharing.crate.restore.MIN_NETWORK_BOUND", 10**6)
    with pytest.raises(InputError, match="model.keras would unpack to 2,000,000 bytes"):
        restore(finished.rewritten(made[1], tmp_path / "bad.zip", {f"{RUN}/model.keras": packed.getvalue()}))
    bomb = finished.rewritten(made[1], tmp_path / "bad.zip", {f"{RUN}/zeros.csv": bytes(30_000_000)})
    monkeypatch.setattr("catscans_lib.sharing.crate.restore.MIN_BOUND", 10**6)
    assert bomb.stat().st_size * 20 < 30_000_000
    with pytest.raises(InputError, match="exceeds the .*bytes"):
        restore(bomb)
    assert not list((there / "results").glob("*"))


def test_runs_made_by_other_code_are_imported_and_named_as_outdated(made, there):
    notebook = there / "notebooks/evaluate.ipynb"
    notebook.write_text(
        notebook.read_text().replace("tables.class_aucs(predictions)", "tables.class_aucs(predictions[:])")
    )
    done = CliRunner().invoke(main.main, ["import", str(made[1])])
    assert "Outdated runs (1): evaluate/all." in done.output, done.output


def test_nothing_is_imported_while_a_sweep_runs(made, there):
    with engine.one_sweep_at_a_time():
        refused = CliRunner().invoke(main.main, ["import", str(made[1])])
    assert refused.exit_code == 2 and "Another sweep is running" in refused.output
    assert not (there / "results").exists()


def test_the_command_says_what_was_imported_and_what_to_do_next(made, there):
    done = CliRunner().invoke(main.main, ["import", str(made[1])])
    assert done.exit_code == 0, done.output
    assert re.match(r"results/demo: \d+ new files; already here: 1\.", done.output)
    assert done.output.endswith("Next: make book PROFILE=demo; all its runs are here.\n")
    nothing = CliRunner().invoke(main.main, ["import", str(made[0] / "LICENSE")])
    assert nothing.exit_code == 2
    assert "Cannot unpack" in nothing.output


@pytest.mark.slow
def test_an_imported_sweep_runs_nothing_until_something_changes(tmp_path):
    here, there = finished.elsewhere(tmp_path / "here"), finished.elsewhere(tmp_path / "there")
    for folder in (here, there):
        tiny.write_grid(folder, tiny.grid())
    tiny.catscans(here, "sweep", check=True)
    crate = str(tmp_path / "crate.zip")
    tiny.catscans(here, "export", crate, check=True)
    tiny.catscans(there, "import", crate, check=True)
    brought = tiny.done(there)
    assert "nothing to do: all 11 runs are up to date" in tiny.catscans(there, "sweep", check=True).stdout
    assert tiny.done(there) == brought
    grid = tiny.grid()
    grid["pretrain"]["sources"]["dtd"] = {"epochs": 2}
    tiny.write_grid(there, grid)
    tiny.catscans(there, "sweep", "transfer/dtd--chest", check=True)
    again = {key for key, when in tiny.done(there).items() if when != brought[key]}
    assert {"ingest/dtd", "ingest/chest", "pretrain/dtd", "transfer/dtd--chest"} <= again
    assert not {"transfer/none--chest", "overlaps/all"} & again
