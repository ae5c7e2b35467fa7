"""Measures of every source for a target, and the ranking for a user's own images, on networks with random weights."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tiny
from click.testing import CliRunner
from PIL import Image

from catscans_lib import paths, results
from catscans_lib.cli.main import main
from catscans_lib.datasets import demo
from catscans_lib.errors import InputError
from catscans_lib.evaluation import learning
from catscans_lib.grid import expand, profiles
from catscans_lib.grid.steps import STEPS
from catscans_lib.images import store
from catscans_lib.networks import build
from catscans_lib.recommend import known
from catscans_lib.similarity import registry
from catscans_lib.transferability import compute, similarity_tables

SOURCES = ("stl10", "dtd", "kimia960")
TARGETS = ("isic2018", "chest", "pcam_middle")
SIZE, N = 24, 240


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Stores of three sources and a target, and a network of each source; nothing was trained."""
    folder = tiny.project(tmp_path_factory.mktemp("measured"))
    shutil.copytree(tiny.ROOT / "evidence", folder / "evidence")
    content = tiny.grid()
    content["datasets"] = {name: {"size_px": SIZE, "n_images": N} for name in (*SOURCES, *TARGETS)}
    content["pretrain"]["sources"] = {name: {"epochs": 1} for name in SOURCES}
    content["transfer"]["targets"] = {name: {} for name in TARGETS}
    content["similarity"] = {"probe": "stl10", "n_images": 120, "seeds": [0]}
    tiny.write_grid(folder, content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(folder))
        for seed, name in enumerate((*SOURCES, "chest")):
            write_store(name)
            if name in SOURCES:
                write_network(name, seed)
        table, folds = (
            store.open_store(paths.store_path("demo", "chest", SIZE)).table,
            paths.folds_path("demo", "chest"),
        )
        folds.parent.mkdir(parents=True)
        table.assign(fold=1)[["image_id", "group", "label", "fold"]].to_csv(folds, index=False)
        evidence()
    return folder


def write_store(name):
    images, table, classes = demo.make(name, n_images=N, size_px=SIZE)
    path = paths.store_path("demo", name, SIZE)
    path.parent.mkdir(parents=True, exist_ok=True)
    store.write_arrays(path, images, table, classes, dataset=name, size_px=SIZE)


def write_network(name, seed):
    keras.utils.set_random_seed(seed)
    place = paths.run_dir("demo", "pretrain", name)
    place.mkdir(parents=True)
    build.build(build.backbone("small_resnet", SIZE), len(demo.CLASSES[name]), 0.2).save(place / "model.keras")
    parameters = {"backbone": "small_resnet", "weights": None, "size_px": SIZE}
    record = {"status": "completed", "parameters": parameters, "n_images": N}
    (place / "run.json").write_text(json.dumps(record))


def evidence():
    """AUCs that follow LogME exactly, on three targets."""
    rng = np.random.default_rng(0)
    aucs, values = [], []
    for target in TARGETS:
        for source, level in zip(SOURCES, rng.permutation([0.1, 0.5, 0.9]), strict=True):
            key = {"source": source, "target": target}
            aucs += [key | {"fold": fold, "auc": 0.7 + 0.1 * level + fold / 1000} for fold in (1, 2)]
            values.append(key | {"measure": "logme", "value": level / 100, "larger_is_closer": True})
    folder = paths.tables_dir("demo")
    folder.mkdir(parents=True)
    pd.DataFrame(aucs).assign(mode="fine_tune", seed=0).to_csv(folder / "aucs.csv", index=False)
    pd.DataFrame(values).assign(probe="", seed=0).to_csv(folder / "similarity.csv", index=False)


@pytest.fixture
def project(made, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(made))
    return made


def of_chest(**given):
    settings = expand.find("similarity", profile="demo", target="chest", **given).settings
    return compute.of_target(profiles.study("demo"), settings)


@pytest.fixture(scope="module")
def measured(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(made))
        return of_chest()


def test_every_measure_is_computed_for_every_source_with_its_inputs(measured):
    values, problems = measured
    assert problems.empty
    assert set(values["measure"]) == set(registry.MEASURES)
    assert np.isfinite(values["value"]).all()
    counts = values[values["source"] != "chest"].groupby("measure")["source"].nunique()
    assert (counts == len(SOURCES)).all()
    probes = values.groupby("measure")["probe"].unique().map(list)
    assert probes["logme"] == probes["leep"] == [""]  # by the source's own network
    assert probes["mmd_rbf"] == ["stl10"]


def test_the_noise_floor_is_measured_and_lies_below_the_distance_to_other_datasets(measured):
    values = measured[0].query("measure in ['mmd_rbf', 'task2vec_symmetric_cosine']")
    own = values[values["source"] == "chest"].set_index("measure")["value"]
    others = values[values["source"] != "chest"].groupby("measure")["value"].min()
    assert len(own) == 2
    assert (own < others[own.index]).all()


def test_the_same_seed_gives_the_same_values(project, measured):
    again = of_chest(measures=["logme", "mmd_rbf", "task2vec_cosine"])[0]
    before = measured[0].merge(again, on=["source", "target", "measure", "probe", "seed"])
    assert len(before) == len(again) == 3 + 2 * 4
    np.testing.assert_array_equal(before["value_x"], before["value_y"])


def failing(monkeypatch, name, error, calls=None):
    """Replace a measure by one that raises `error`, or returns it, in the numbered calls (None: in all)."""
    record, done = registry.get(name), []

    def function(*given, **named):
        done.append(given)
        if calls is not None and len(done) not in calls:
            return record.function(*given, **named)
        if isinstance(error, float):
            return error
        raise error

    monkeypatch.setitem(registry.MEASURES, name, dataclasses.replace(record, function=function))


def test_a_measure_that_fails_is_a_row_with_its_reason_and_all_others_have_their_values(project, measured, monkeypatch):
    failing(monkeypatch, "sfda", np.linalg.LinAlgError("SVD did not\nconverge"), calls=[2])
    failing(monkeypatch, "n_leep", float("nan"), calls=[1])
    failing(monkeypatch, "mmd_rbf", MemoryError())
    monkeypatch.setattr(compute.SourceFeatures, "fisher", lambda *given: 1 / 0)
    values, problems = of_chest()
    reasons = problems.groupby(["measure", "source"])["problem"].first()
    assert reasons["sfda"].to_dict() == {"kimia960": "LinAlgError: SVD did not converge"}
    assert reasons["n_leep"].to_dict() == {
        "dtd": "N-LEEP (n_leep) of these inputs is nan, which is no value. Leave it out."
    }
    assert reasons["mmd_rbf"].to_dict() == dict.fromkeys(("chest", *SOURCES), "MemoryError")
    assert (
        reasons["task2vec_cosine"]["dtd"]
        == "ZeroDivisionError: division by zero; ZeroDivisionError: division by zero (source)"
    )
    assert set(problems["target"]) == {"chest"} and set(problems["seed"]) == {0}
    assert similarity_tables.told(problems[problems["measure"] == "sfda"]) == [
        "SFDA of kimia960 and chest has no value (seed 0): LinAlgError: SVD did not converge"
    ]
    keys = ["source", "measure"]
    before = measured[0].set_index(keys)["value"]
    assert len(values) + len(problems) == len(before)
    pd.testing.assert_series_equal(values.set_index(keys)["value"], before.drop(reasons.index.swaplevel()))


def test_a_fault_of_the_program_ends_the_run(project, monkeypatch):
    failing(monkeypatch, "sfda", TypeError("our fault"))
    with pytest.raises(TypeError, match="our fault"):
        of_chest(measures=["sfda"])


def test_advice_says_which_measure_failed_and_ranks_the_other_sources(project, moles, monkeypatch):
    failing(monkeypatch, "logme", np.linalg.LinAlgError("no convergence"), calls=[3])
    status, output = ask(moles, "--from", "demo", "--json")
    assert status == 0, output
    told = json.loads(output[output.index("{") :])
    assert {row["name"] for row in told["advice"]} == {"demo:stl10", "demo:dtd"}
    assert told["problems"] == ["demo:kimia960: LogME has no value: LinAlgError: no convergence"]
    failing(monkeypatch, "logme", np.linalg.LinAlgError("no convergence"))
    status, output = ask(moles, "--from", "demo")
    assert status == 2 and "No candidate can be ranked: no measure has a value." in output
    assert "demo:dtd: LogME has no value: LinAlgError: no convergence" in output


def test_ranks_count_from_the_closest_whichever_way_a_measure_points(measured):
    ranks = similarity_tables.ranks(measured[0], ["logme", "mmd_rbf"]).set_index(["measure", "source"])["rank"]
    values = measured[0][measured[0]["source"] != "chest"].groupby(["measure", "source"])["value"].mean()
    assert ranks["logme"].idxmin() == values["logme"].idxmax()
    assert ranks["mmd_rbf"].idxmin() == values["mmd_rbf"].idxmin()


def test_a_probe_that_is_no_source_is_refused(tmp_path, monkeypatch):
    folder, content = tiny.project(tmp_path), tiny.grid()
    content["similarity"]["probe"] = "stl10"
    tiny.write_grid(folder, content)
    monkeypatch.setenv("CATSCANS_ROOT", str(folder))
    with pytest.raises(InputError, match="similarity.probe is 'stl10', no source of this grid; it has: dtd"):
        expand.grid("demo")


@pytest.fixture(scope="module")
def moles(tmp_path_factory):
    """A user's folder: two classes, 60 and 12 images, two of each patient."""
    folder = tmp_path_factory.mktemp("own")
    images, *_ = demo.make("isic2018", n_images=72, size_px=32, seed=5)
    for number, image in enumerate(images):
        place = folder / ("mole" if number < 60 else "melanoma")
        place.mkdir(exist_ok=True)
        Image.fromarray(image).save(place / f"p{number // 2:02d}_{number}.png")
    return folder


def ask(*words):
    answer = CliRunner().invoke(main, ["recommend", *map(str, words)], catch_exceptions=False)
    return answer.exit_code, answer.output


GROUPS = ("--group-pattern", r"(p\d+)_.*")


@pytest.fixture(scope="module")
def advice(made, moles):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATSCANS_ROOT", str(made))
        status, output = ask(moles, "--from", "results/demo", *GROUPS, "--json")
    assert status == 0, output
    return json.loads(output[output.index("{") :])  # after the lines of progress, which go to stderr


def test_own_images_are_ranked_and_the_evidence_is_reported(advice):
    images = advice["images"]
    assert (images["classes"], images["n_groups"], images["n_found"]) == ({"mole": 60, "melanoma": 12}, 36, 72)
    assert advice["measures"] == ["logme"]
    assert {row["name"] for row in advice["advice"]} == {f"demo:{source}" for source in SOURCES}
    assert sum(row["p_best"] for row in advice["advice"]) == pytest.approx(1)
    assert advice["evidence"]["n_targets"] == 3 and len(advice["check"]) == 3
    order = [row["closeness"] for row in advice["advice"]]
    assert order == sorted(order, reverse=True)


def test_the_report_warns_where_it_should_not_be_trusted(project, moles, advice):
    _, output = ask(moles, "--from", "demo")
    sentences = (
        "DEMO, made-up images, recommends nothing: Start from demo:", "Few images in 'melanoma' (12)", "Groups: none.",
        "Unlike everything known:",
    )  # fmt: skip
    assert all(sentence in output for sentence in sentences)
    assert advice["images"]["left_out"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mode", "linear_probe"], "Profile demo has no AUCs of mode 'linear_probe'"),
        (["--from", "nowhere"], "Unknown profile 'nowhere'"),
        (["--model", "timm:resnet50"], "Unknown model 'timm:resnet50'; known: keras:convnext_base"),
        (["--weights", "none.h5"], "Weights file 'none.h5' not found"),
        (["--features", "mine.npz"], "'mine.npz' is not of the form --features NAME=FILE"),
        (["--kind", "demo:dtd=cats"], "Unknown kind 'cats'; known: imagenet, medical"),
        (["--kind", "dtd=texture"], "Unknown candidate 'dtd'; known: demo:dtd"),
    ],
)
def test_an_impossible_recommendation_says_why(project, moles, words, message):
    status, output = ask(moles, "--from", "demo", *words)
    assert status == 2
    assert message in output


def test_without_results_the_command_that_makes_them_is_named(tmp_path, monkeypatch, moles):
    monkeypatch.setenv("CATSCANS_ROOT", str(tiny.project(tmp_path)))
    status, output = ask(moles, "--from", "demo")
    assert status == 2
    assert "catscans sweep --profile demo evaluate/all" in output


def test_advice_does_not_learn_from_networks_that_did_not_learn(project, tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(shutil.copytree(project, tmp_path / "copied")))
    aucs = pd.read_csv(paths.tables_dir("demo") / "aucs.csv")
    source, target = aucs.loc[0, ["source", "target"]]
    here = (aucs["source"] == source) & (aucs["target"] == target)
    verdicts = aucs.assign(verdict=np.where(here, learning.FAILED, learning.LEARNED))
    verdicts.to_csv(paths.tables_dir("demo") / "learning.csv", index=False)
    learned = known.of_profile("demo")
    assert len(learned) == len(TARGETS) * len(SOURCES) - 1
    assert not ((learned["source"] == source) & (learned["target"] == target)).any()


def test_all_similarity_runs_of_a_profile_come_as_one_table(project, measured):
    place = paths.run_dir("demo", "similarity", "chest")
    place.mkdir(parents=True, exist_ok=True)
    measured[0].to_csv(place / "similarity.csv", index=False)
    (place / "run.json").write_text('{"status": "completed"}')
    table = results.of_similarities("demo")
    assert len(table) == len(measured[0])
    assert set(table["probe"]) == {"", "stl10"}
    facts = similarity_tables.facts_of_sources("demo", table).set_index("source")
    assert facts.loc["dtd", ["n_images", "n_classes"]].tolist() == [N, len(demo.CLASSES["dtd"])]
    assert set(facts.index) == set(SOURCES)


def test_other_weights_are_ranked_under_the_name_of_their_file(project, moles, tmp_path):
    file = tmp_path / "mine.keras"
    shutil.copy(paths.run_dir("demo", "pretrain", "dtd") / "model.keras", file)
    status, output = ask(moles, "--from", "demo", "--weights", f"small_resnet={file}", "--size-px", SIZE, "--json")
    assert status == 0, output
    rows = {row["name"]: row for row in json.loads(output[output.index("{") :])["advice"]}
    assert set(rows) == {"mine", *(f"demo:{source}" for source in SOURCES)}
    assert rows["mine"]["closeness"] == pytest.approx(rows["demo:dtd"]["closeness"], rel=1e-4)  # the same network
    mine, known_one = (rows[name]["high"] - rows[name]["low"] for name in ("mine", "demo:dtd"))
    assert mine >= known_one  # no result is known of it
    (tmp_path / "other.h5").write_text("")
    status, output = ask(moles, "--weights", tmp_path / "other.h5")
    assert status == 2 and "'other.h5' does not tell its network. State it: --weights NETWORK=" in output
    status, output = ask(moles, "--weights", f"vgg16={tmp_path / 'other.h5'}")
    assert status == 2 and "'other.h5' is not a weights file of Keras" in output
    (tmp_path / "again").mkdir()
    again = shutil.copy(file, tmp_path / "again")
    status, output = ask(moles, *(word for one in (file, again) for word in ("--weights", f"small_resnet={one}")))
    assert status == 2 and "Two candidates are called 'mine'" in output
    status, output = ask(moles, "--from", "demo", "--from", "demo")
    assert status == 2 and "'demo' is listed twice; name it once." in output


def test_the_notebook_ranks_as_the_command_does(project, moles, advice, capsys):
    for key in ("transferability/all", "evaluate/all"):
        place = paths.run_dir("demo", *key.split("/"))
        place.mkdir(parents=True, exist_ok=True)
        (place / "run.json").write_text('{"status": "completed", "run_id": "x"}')
    space = {}
    for kind, source, tags in STEPS["recommend"].cells():
        if kind == "code":
            exec(source, space)
            given = {"place": str(moles), "group_pattern": GROUPS[1], "networks_of": ["demo"]}
            space |= given if "parameters" in tags else {}
    folder = paths.run_dir("demo/scratch", "recommend", moles.name)
    saved = pd.read_csv(folder / "advice.csv")
    assert saved["name"].tolist() == [row["name"] for row in advice["advice"]]
    assert saved["gain"].to_numpy() == pytest.approx([row["gain"] for row in advice["advice"]])
    assert (folder / "figures/advice.svg").is_file()
    assert "Start from" in capsys.readouterr().out
