"""The expected cost of a sweep, compared with counts made by hand."""

import json

import pytest
import tiny

from catscans_lib import paths
from catscans_lib.grid import expand, profiles
from catscans_lib.grid.steps import STEPS
from catscans_lib.sweep import plan


def finish(key, seconds, **parameters):
    run = expand.grid("demo")[key]
    folder = paths.run_dir("demo", run.step, run.name)
    folder.mkdir(parents=True)
    record = {"status": "completed", "run_id": "r", "seconds": seconds, "parameters": run.parameters | parameters}
    (folder / "run.json").write_text(json.dumps(record))


def test_image_passes_are_images_times_epochs_of_every_fold_seed_mode_and_rate(project):
    runs, loaded = expand.grid("demo"), profiles.load("demo")
    assert plan.passes("pretrain", runs["pretrain/dtd"].parameters, loaded) == pytest.approx(180 * 1 * 0.9)
    of_target = runs["pretrain/dtd"].parameters | {"source": "chest"}  # a source is trained on all of its images
    assert plan.passes("pretrain", of_target, loaded) == pytest.approx(180 * 1 * 0.9)
    # chest: 120 of 180 images, 3 folds of which 2 train, 2 epochs, a tenth held back; both modes predict every image once
    values = runs["transfer/dtd--chest"].parameters
    assert plan.passes("transfer", values, loaded) == pytest.approx(120 * 2 * 2 * 0.9 + 2 * 120 * 0.2)
    twice = values | {"seeds": [0, 1], "other_learning_rates": [1e-4], "modes": ["fine_tune"]}
    assert plan.passes("transfer", twice, loaded) == pytest.approx(2 * (120 * 2 * 2 * 0.9 * 2 + 120 * 0.2))
    assert plan.passes("pretrain", runs["pretrain/dtd"].parameters | {"weights": "keras"}, loaded) == 0
    assert plan.passes("evaluate", {}, loaded) == 0


def test_without_finished_runs_the_cost_follows_from_the_measured_rate_scaled_by_pixels(project, monkeypatch):
    monkeypatch.setitem(plan.CPU_RATES, "small_resnet", (100.0, 48, "a benchmark"))
    runs = expand.grid("demo")
    cost, ingest = plan.costs_of("demo", runs, ["pretrain/dtd", "ingest/dtd"], with_gpu=False).values()
    quarter = 180 * 0.9 / 100 / 4  # 24 px: a quarter of the pixels of 48
    assert cost.seconds == pytest.approx(STEPS["pretrain"].seconds + quarter)
    assert cost.source == "a benchmark"
    assert ingest.n_bytes == 180 * 24 * 24 * 3 + 5e5


def test_the_cost_follows_from_finished_runs_of_the_step_scaled_by_image_passes(project):
    finish("transfer/none--chest", 60.0, epochs=4)
    (cost,) = plan.costs_of("demo", expand.grid("demo"), ["transfer/dtd--chest"], with_gpu=False).values()
    assert cost.seconds == pytest.approx(60 * (120 * 2 * 2 * 0.9 + 48) / (120 * 2 * 4 * 0.9 + 48))
    assert cost.source == "finished runs of this profile"


def test_images_count_as_ingest_found_them_and_as_published_before(project, monkeypatch):
    runs, key, start = expand.grid("demo"), "pretrain/dtd", STEPS["pretrain"].seconds
    published = plan.costs_of("demo", runs, [key], with_gpu=False)[key].seconds - start
    finish("ingest/dtd", 1.0)
    path = paths.run_dir("demo", "ingest", "dtd") / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n_images": 60}))
    assert plan.costs_of("demo", runs, [key], with_gpu=False)[key].seconds - start == pytest.approx(published / 3)
    words = "datasets that are not ingested yet count with their published number of images"
    assert words not in plan.text("demo", runs, [], list(runs), with_gpu=False, n_parallel=2)  # all are generated
    monkeypatch.setattr(profiles, "is_demo", lambda profile: False)
    assert words in plan.text("demo", runs, [], list(runs), with_gpu=False, n_parallel=2)
    assert words not in plan.text(
        "demo", runs, ["ingest/dtd", "ingest/chest"], list(runs), with_gpu=False, n_parallel=2
    )


def test_the_published_split_trains_one_network_on_all_other_images(project):
    values, loaded = expand.grid("demo")["transfer/dtd--chest"].parameters, profiles.load("demo")
    published = loaded.model_copy(update={"folds": loaded.folds.model_copy(update={"split": "published"})})
    assert plan.passes("transfer", values, published) == pytest.approx(120 * 2 * 0.9 + 2 * 120 * 0.2)


def test_the_cost_of_a_network_without_measurement_is_unknown(project):
    content = tiny.grid() | {"backbone": "mobilenet"}
    content["datasets"] = {key: row | {"size_px": 32} for key, row in content["datasets"].items()}
    tiny.write_grid(project, content)
    runs = expand.grid("demo")
    text = plan.text("demo", runs, [], list(runs), with_gpu=False, n_parallel=2)
    assert "pretrain             1     0       1          ?" in text
    assert "nothing for mobilenet, which was not measured" in text
    assert "one after the other: 58 s+" in text


def test_runs_that_ask_for_a_gpu_take_its_time_only_if_they_get_one(project):
    content = tiny.grid() | {"backbone": "resnet50", "resources": {"pretrain": {"gpus": 1}}}
    content["datasets"] = {key: row | {"size_px": 112} for key, row in content["datasets"].items()}
    tiny.write_grid(project, content)
    runs, key = expand.grid("demo"), "pretrain/dtd"
    with_gpu, without = (plan.costs_of("demo", runs, [key], with_gpu=there)[key] for there in (True, False))
    start = STEPS["pretrain"].seconds
    assert with_gpu.seconds == pytest.approx(start + 162 / 2250)
    assert without.seconds == pytest.approx(start + 162 * (112 / 96) ** 2 / 96)


def test_the_plan_counts_finished_runs_and_shows_no_cost_if_all_are_finished(project):
    runs = expand.grid("demo")
    chosen = ["ingest/dtd", "ingest/chest", "pretrain/dtd"]
    lines = plan.text("demo", runs, ["ingest/dtd"], chosen, with_gpu=False, n_parallel=2).splitlines()
    assert lines[0] == "params/demo.yaml: 3 of 11 runs, 1 done, 2 to run"
    assert [line.split()[:4] for line in lines[2:4]] == [["ingest", "2", "1", "1"], ["pretrain", "1", "0", "1"]]
    complete = plan.text("demo", runs, list(runs), list(runs), with_gpu=False, n_parallel=2)
    assert complete == "params/demo.yaml: 11 runs, 11 done, 0 to run"


@pytest.mark.parametrize(
    ("seconds", "n_parallel", "wall"),
    [
        ({}, 2, 0),
        ({"ingest/dtd": 10, "ingest/chest": 20, "pretrain/dtd": 40}, 1, 70),  # one after the other
        ({"ingest/dtd": 10, "ingest/chest": 20, "pretrain/dtd": 40}, 3, 60),  # pretraining waits for the slower ingest
        ({"transfer/none--chest": 30, "transfer/dtd--chest": 30}, 2, 30),
    ],
)
def test_the_wall_time_is_the_share_of_the_sum_or_the_longest_chain(project, seconds, n_parallel, wall):
    assert plan.wall_seconds(seconds, expand.grid("demo"), n_parallel) == wall


def test_disk_space_counts_kept_networks_and_variants_that_keep_none(project):
    content = tiny.grid()
    content["transfer"]["targets"]["chest"]["n_images"] = [20]
    content["transfer"]["defaults"]["keep_networks"] = True
    tiny.write_grid(project, content)
    keys = ["transfer/dtd--chest", "transfer/dtd--chest@20", "pretrain/dtd"]
    costs = plan.costs_of("demo", expand.grid("demo"), keys, with_gpu=False)
    base, fewer, pretrain = (costs[key].n_bytes - 5e5 for key in keys)
    network, features = (
        0.37e6,
        4 * 120 * 64,
    )  # 3 folds, 1 seed; a trained network is saved with Adam's two numbers a weight
    assert (base, fewer, pretrain) == pytest.approx((6 * network + features, 3 * network, 3 * network))
    assert costs[keys[1]].seconds == costs[keys[0]].seconds  # as many updates


def test_a_plan_of_a_part_tells_the_whole_and_a_long_one_proposes_a_part(project, monkeypatch):
    content = tiny.grid()
    for name in ("stl10", "sti10", "kimia960"):
        content["datasets"][name] = {"size_px": 24, "n_images": 180}
        content["pretrain"]["sources"][name] = None
    content["datasets"]["isic2018"] = {"size_px": 24, "n_images": 180}
    content["transfer"]["targets"]["isic2018"] = None
    tiny.write_grid(project, content)

    def last(**changes):
        tiny.write_grid(project, content | {"transfer": content["transfer"] | changes})
        runs = expand.grid("demo")
        return plan.text("demo", runs, [], list(runs), with_gpu=False, n_parallel=2).splitlines()[-1]

    assert "fraction" not in last()
    n_whole = len(expand.grid("demo"))
    assert f"the whole grid, without fraction: {n_whole} runs, about " in last(fraction=0.5)
    n_half = len(expand.grid("demo"))
    assert n_half == n_whole - 4
    monkeypatch.setattr(plan, "LONG_S", 1.0)
    assert f"a balanced part of the pairs, --fraction 0.5: {n_half} runs, about " in last()
