"""What a crate holds and how it is described. The project behind it only looks finished; nothing is trained."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import finished
import pandas as pd
import pytest
import tiny
from click.testing import CliRunner
from rocrate.rocrate import ROCrate

from catscans_lib import paths
from catscans_lib.cli import main
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.grid.steps import STEPS
from catscans_lib.images import store
from catscans_lib.runs import recipe
from catscans_lib.sharing.crate import metadata
from catscans_lib.sharing.crate.export import PROJECT, export

TOKEN = "osf-token-0123456789abcdef"
VALIDATOR = "roc-validator==0.13.0"  # needs an older rich than the project: it gets an environment of its own


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The project's folder, its crate, and the crate unpacked; the user's token was known to the environment."""
    folder = finished.make(tmp_path_factory.mktemp("origin"), secret=TOKEN)
    crate = folder.parent / "crate.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(folder))
        patch.setenv("OSF_TOKEN", TOKEN)
        export("demo", crate)
    with zipfile.ZipFile(crate) as archive:
        archive.extractall(folder.parent / "unpacked")
    return folder, crate, folder.parent / "unpacked"


@pytest.fixture
def copied(made, tmp_path, monkeypatch):
    """A copy of the project that a test may change."""
    shutil.copytree(made[0], tmp_path / "copied")
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path / "copied"))
    return tmp_path / "copied"


@pytest.fixture
def project(made, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(made[0]))
    return made[0]


def graph(unpacked):
    described = json.loads((unpacked / metadata.NAME).read_text())
    return {entity["@id"]: entity for entity in described["@graph"]}


def test_the_same_results_give_the_same_bytes(made, project, tmp_path, monkeypatch):
    monkeypatch.setenv("OSF_TOKEN", TOKEN)
    os.utime(project / "results/demo/tables/aucs.csv")
    export("demo", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == made[1].read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.zip"]


def test_it_holds_the_whole_compendium_and_lists_every_file_with_its_size_and_checksum(made):
    names = set(finished.files_in(made[2]))
    assert {*PROJECT, "params/demo.yaml", "notebooks/transfer.ipynb", "catscans_lib/runs/recipe.py"} <= names
    for run in ("transfer/dtd--chest", "evaluate/all"):
        assert {f"results/demo/{run}/run.json", f"results/demo/{run}/{run.split('/')[0]}.ipynb"} <= names
    assert {"results/demo/cards/datasets/dtd.csv", "catscans_lib/datasets/published.yaml"} <= names
    assert not [name for name in names if name.startswith(("data/", ".")) or ".done" in name]
    files = finished.files_in(made[2])
    listed = {place: one for place, one in graph(made[2]).items() if "File" in one["@type"]}
    assert set(listed) == set(files) - {metadata.NAME}
    for place, one in listed.items():
        assert one["contentSize"] == str(len(files[place]))
        assert one["sha256"] == hashlib.sha256(files[place]).hexdigest()


def test_every_run_is_an_action_that_says_what_it_read_and_made(made, project):
    crate = ROCrate(made[2])
    runs = expand.grid("demo")
    for key, run in runs.items():
        action = crate.get(f"#{key}")
        assert action["instrument"].id == f"notebooks/{run.step}.ipynb"
        assert action["result"].id == f"results/demo/{key}/"
        read = action["object"] if isinstance(action["object"], list) else [action["object"]]
        assert {one.id for one in read} == {"params/demo.yaml", *(f"results/demo/{need}/" for need in run.needs)}
        assert (action["startTime"], action["endTime"]) == ("2026-11-25T13:29:02+00:00", "2026-11-25T13:29:11+00:00")
    assert crate.get("notebooks/transfer.ipynb")["version"] == finished.COMMIT
    sweep = crate.get("#sweep")
    assert sweep["instrument"] == crate.mainEntity
    assert (crate.mainEntity.id, crate.mainEntity["programmingLanguage"]["name"]) == ("Snakefile", "Snakemake")
    assert {one.id for one in sweep["result"]["hasPart"]} == {f"results/demo/{key}/" for key in runs}
    assert (sweep["startTime"], sweep["endTime"]) == ("2026-11-25T13:29:02+00:00", "2026-11-25T13:29:11+00:00")


def test_with_an_address_the_software_of_a_run_is_a_link_to_its_notebook(copied):
    path = copied / "CITATION.cff"
    path.write_text(path.read_text() + "repository-code: https://github.com/a/b\n")
    names = [*PROJECT, "params/demo.yaml", *(f"notebooks/{step}.ipynb" for step in STEPS)]
    files = dict.fromkeys(names, (1, "0"))
    described = {entity["@id"]: entity for entity in metadata.describe("demo", files)["@graph"]}
    tool = described[described["#evaluate/all"]["instrument"]["@id"]]
    assert tool["@id"] == tool["url"] == f"https://github.com/a/b/blob/{finished.COMMIT}/notebooks/evaluate.ipynb"
    assert tool["@type"] == "SoftwareApplication"


def test_a_crate_without_a_licence_is_refused_by_name(copied, tmp_path):
    path = copied / "CITATION.cff"
    path.write_text(path.read_text().replace("license: MIT\n", ""))
    with pytest.raises(InputError, match=r"CITATION\.cff states no license; a crate needs"):
        export("demo", tmp_path / "out.zip")


def test_it_holds_no_secrets_and_no_paths_of_this_machine(made):
    folder, _, unpacked = made
    assert TOKEN in (folder / "results/demo/records/1/cout.txt").read_text()
    forbidden = [str(folder), TOKEN, str(Path.home()), str(tiny.ROOT)]
    for name, content in finished.files_in(unpacked).items():
        assert not [text for text in forbidden if text.encode() in content], name
    assert (unpacked / "results/demo/records/1/cout.txt").read_text() == "params\n[secret]\n"


def test_an_unzipped_crate_is_a_project_of_its_own(made, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(made[2]))
    runs = expand.grid("demo")
    assert recipe.current("demo", runs) == list(runs)


@pytest.fixture(scope="module")
def validator(tmp_path_factory):
    """Python of an environment with RO-Crate's own validator, or skip where it cannot be installed."""
    place = tmp_path_factory.mktemp("validator")
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, place / "env"], check=True)
    install = [*uv, "pip", "install", "--quiet", "--python", place / "env/bin/python", VALIDATOR]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{VALIDATOR} cannot be installed: {done.stderr.strip()[-200:]}")
    return place / "env/bin/python"


def violations(validator, folder, tmp_path):
    """What a crate lacks that the profile requires. The validator gets the RO-Crate context from rocrate instead of the network,
    with the four terms that differ in RO-Crate 1.1."""
    import rocrate

    context = json.loads((Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_text())["@context"]
    old = {name: f"https://bioschemas.org/{name}" for name in ("ComputationalWorkflow", "FormalParameter")}
    old |= {name: f"https://bioschemas.org/ComputationalWorkflow#{name}" for name in ("input", "output")}
    (tmp_path / "context.json").write_text(json.dumps({"@context": context | old}))
    command = [validator, tiny.ROOT / "tests/validate_crate.py", folder, tmp_path / "context.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [issue["message"] for issue in json.loads(done.stdout.splitlines()[-1]) if issue["severity"] == "REQUIRED"]


@pytest.mark.slow
def test_the_crate_conforms_to_the_workflow_run_crate_profile_but_not_without_a_notebook_or_a_workflow(
    made, validator, tmp_path
):
    assert violations(validator, made[2], tmp_path) == []
    worse = tmp_path / "worse"
    shutil.copytree(made[2], worse)
    described = json.loads((worse / metadata.NAME).read_text())
    for entity in described["@graph"]:
        if entity["@id"] == "#transfer/dtd--chest":
            del entity["instrument"]
        if entity["@id"] == "#sweep":
            entity["instrument"] = {"@id": "notebooks/transfer.ipynb"}
    (worse / metadata.NAME).write_text(json.dumps(described))
    found = violations(validator, worse, tmp_path)
    assert [message for message in found if "The Action MUST have an instrument" in message], found
    assert [message for message in found if "mainEntity as its instrument" in message], found


def test_it_lists_the_images_of_every_dataset(made, project):
    table = store.open_store(paths.store_path("demo", "chest", finished.SIZE)).table
    listed = pd.read_csv(made[2] / "results/demo/cards/datasets/chest.csv", dtype=str)
    assert listed.equals(table[["image_id", "label", "group"]].astype(str))


def test_networks_are_optional_and_images_are_never_exported(project, tmp_path):
    export("demo", tmp_path / "bare.zip", models=False)
    export("demo", tmp_path / "full.zip")
    bare, full = (set(zipfile.ZipFile(tmp_path / name).namelist()) for name in ("bare.zip", "full.zip"))
    assert full - bare == {
        f"results/demo/{run}/model.keras" for run in ("pretrain/dtd", "transfer/dtd--chest", "transfer/none--chest")
    }
    assert not [name for name in bare if name.endswith(".keras")]
    assert not [name for name in full if name.startswith("data/")]


def test_missing_or_outdated_results_are_exported_only_on_request(copied, tmp_path):
    grid = finished.read_yaml(copied / "params/demo.yaml")
    grid["evaluate"]["n_draws"] = 123
    tiny.write_grid(copied, grid)
    said = "1 of 9 runs .*: evaluate/all. Run `make book PROFILE=demo` first, or pass --partial"
    with pytest.raises(InputError, match=said):
        export("demo", tmp_path / "crate.zip")
    assert not (tmp_path / "crate.zip").exists()
    export("demo", tmp_path / "crate.zip", partial=True)
    shutil.rmtree(copied / "results")
    with pytest.raises(InputError, match="has no finished run. Make them: make book PROFILE=demo"):
        export("demo", tmp_path / "crate.zip", partial=True)


def test_a_book_older_than_its_results_and_what_an_import_would_refuse_are_not_exported(copied, tmp_path):
    html = copied / "_build/demo/_build/html"
    html.mkdir(parents=True)
    (html / "index.html").write_text(f"{copied}/book")
    export("demo", tmp_path / "with.zip")
    assert zipfile.ZipFile(tmp_path / "with.zip").read("html/index.html") == b"book"
    os.utime(html / "index.html", (0, 0))
    with pytest.raises(InputError, match="The book is older than the results .* Build it: make book PROFILE=demo"):
        export("demo", tmp_path / "old.zip")
    shutil.rmtree(html)
    done = CliRunner().invoke(main.main, ["export", str(tmp_path / "without.zip")])
    (copied / "results/demo/evaluate/all/draws.pkl").write_bytes(b"")
    with pytest.raises(InputError, match="results/demo/evaluate/all/draws.pkl: a crate holds results as .csv"):
        export("demo", tmp_path / "crate.zip")
    found = r"without.zip: \d+ files, \d+\.\d MB, packed \d+\.\d MB, in \d+\.\d s; without the book"
    assert re.search(found, done.output), done.output
