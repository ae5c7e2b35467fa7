"""Sizes, seeds of pretraining and further networks: the runs they add, their names, and faults in a params file."""

import pytest
import tiny

from catscans_lib.errors import InputError
from catscans_lib.grid import expand, profiles
from catscans_lib.runs import recipe


@pytest.fixture
def grid(monkeypatch):
    """Return a function that reads the tiny grid with a second source, changed by a function."""

    def read(change):
        content = tiny.grid()
        content["datasets"]["stl10"] = {"size_px": 32, "n_images": 180}
        content["datasets"]["chest"]["size_px"] = content["datasets"]["dtd"]["size_px"] = 32
        content["pretrain"]["sources"]["stl10"] = None
        change(content)
        monkeypatch.setattr(profiles, "read", lambda profile: content)
        return expand.grid("demo")

    return read


def everything(content):
    content["pretrain"]["seeds"] = [4, 1]
    content["transfer"]["modes"] = ["fine_tune", "fine_tune_long"]
    content["transfer"]["targets"]["chest"] |= {"n_images": [20, 50], "n_per_class": [5]}
    content["transfer"]["axes_sources"] = ["dtd"]
    content["backbones"] = {"squeezenet": {"weights": {"stl10": "squeezenet.h5"}, "transfer": {"epochs": 3}}}


def test_each_variant_is_a_run_that_differs_from_its_base_run_in_one_thing(grid):
    runs = grid(everything)
    base = {"none--chest", "dtd--chest", "stl10--chest"}
    variants = {
        "dtd@1--chest": {"variant": "@1"},
        **{f"{source}--chest@{n}": {"n_images": n} for source in ("none", "dtd") for n in (20, 50)},
        **{f"{source}--chest@5c": {"n_per_class": 5} for source in ("none", "dtd")},
        **{
            f"{source}+squeezenet--chest": {"variant": "+squeezenet", "backbone": "squeezenet", "epochs": 3}
            for source in ("none", "dtd", "stl10")
        },
    }
    assert {run.name for run in runs.values() if run.step == "transfer"} == base | variants.keys()
    for name, changes in variants.items():
        run, of = runs[f"transfer/{name}"], runs[f"transfer/{name.split('--')[0].split('+')[0].split('@')[0]}--chest"]
        assert run.parameters == {**of.parameters, **changes, "modes": ["fine_tune"]}
        pretrained = [] if run.settings.source == "none" else [f"pretrain/{name.split('--')[0]}"]
        assert list(run.needs) == ["ingest/chest", *pretrained]
    networks = {run.name: run.settings for run in runs.values() if run.step == "pretrain"}
    assert networks.keys() == {"dtd", "dtd@1", "dtd+squeezenet", "stl10", "stl10+squeezenet"}
    assert [networks[name].seed for name in ("dtd", "dtd@1", "dtd+squeezenet")] == [4, 1, 4]
    assert networks["stl10+squeezenet"].weights == "squeezenet.h5" and networks["dtd+squeezenet"].weights is None
    assert runs["pretrain/stl10+squeezenet"].needs == ()


def test_tables_of_all_sources_read_base_runs_alone(grid):
    runs = grid(everything)
    for key in ("evaluate/all", "stability/all", "feature_maps/chest", "transferability/all"):
        assert not [need for need in runs[key].needs if "@" in need or "+" in need]
    assert expand.transfers("demo") == [("none", "chest"), ("dtd", "chest"), ("stl10", "chest")]


def test_a_notebook_finds_the_variant_that_its_parameters_name_and_may_try_other_sizes(grid):
    grid(everything)
    of = {"profile": "demo", "source": "dtd", "target": "chest", "variant": None}
    assert expand.find("transfer", **of, n_images=20).name == "dtd--chest@20"
    assert expand.find("transfer", **of | {"variant": "@1"}).name == "dtd@1--chest"
    tried = expand.find("transfer", **of, n_images=33)
    assert (tried.name, tried.settings.n_images) == ("dtd--chest", 33)
    with pytest.raises(InputError, match="Unknown transfer run .* 'dtd@7--chest'; known: .*dtd@1--chest"):
        expand.find("transfer", **of | {"variant": "@7"})


def test_a_variant_depends_on_the_cards_of_its_datasets_alone(grid):
    runs = grid(everything)
    for name in ("dtd@1--chest", "dtd--chest@20", "dtd+squeezenet--chest"):
        facts = recipe._entries(runs[f"transfer/{name}"])[0]
        assert {dataset for dataset, *_ in facts} == {"dtd", "chest"}


@pytest.mark.parametrize(
    ("block", "changes", "message"),
    [
        ("pretrain", {"seed": 0}, "unknown key 'pretrain.seed'; known: defaults, seeds, sources"),
        ("pretrain", {"sources": {"dtd": {"seed": 3}}}, r"dtd.seed: .*Write pretrain.seeds, or .*dtd.seeds: \[3\]"),
        ("pretrain", {"sources": {"dtd": {"seeds": 3}}}, "dtd.seeds: got 3; a list of whole numbers"),
        ("pretrain", {"sources": {"dtd": {"weights": "a.h5", "seeds": [0, 1]}}}, "published weights are one network"),
        ("transfer", {"axes_sources": ["chest"]}, "transfer.axes_sources: Unknown source 'chest'; known: dtd"),
        ("transfer", {"seed_targets": ["dtd"]}, "transfer.seed_targets: Unknown target 'dtd'; known: chest"),
        ("transfer", {"targets": {"chest": {"n_images": 20}}}, "chest.n_images: got 20; a list of whole numbers"),
        ("transfer", {"targets": {"chest": {"n_images": [120]}}}, "got 120; a fold has about 120 training images"),
        ("transfer", {"targets": {"chest": {"n_per_class": [60]}}}, "got 60; a fold has about 120 training images"),
        ("backbones", {"resnet": {}}, "backbones: Unknown backbone 'resnet'"),
        ("backbones", {"small_resnet": {}}, "'small_resnet' is already the network of the base runs"),
        ("backbones", {"squeezenet": {"targets": ["dtd"]}}, "squeezenet.targets: Unknown target 'dtd'"),
    ],
)
def test_an_axis_that_cannot_be_met_is_refused_before_anything_runs(grid, block, changes, message):
    with pytest.raises(InputError, match=message):
        grid(lambda content: content.setdefault(block, {}).update(changes))


def test_weights_of_a_source_need_weights_for_a_further_network(grid):
    def change(content):
        content["pretrain"]["sources"]["dtd"] = {"weights": "one.h5"}
        content["backbones"] = {"squeezenet": {"sources": ["dtd", "stl10"]}}

    with pytest.raises(InputError, match="comes as weights .* Add backbones.squeezenet.weights.dtd"):
        grid(change)


def test_the_steps_over_an_axis_need_the_base_runs_and_its_variants_and_are_missing_without_it(grid):
    runs = grid(everything)
    base = {"transfer/none--chest", "transfer/dtd--chest", "transfer/stl10--chest"}
    sizes = {f"transfer/{source}--chest@{n}" for source in ("none", "dtd") for n in ("20", "50", "5c")}
    assert set(runs["sizes/all"].needs) == base | sizes | {"similarity/chest"}
    assert set(runs["variance/all"].needs) == base | {"transfer/dtd@1--chest", "evaluate/all"}
    networks = {f"transfer/{source}+squeezenet--chest" for source in ("none", "dtd", "stl10")}
    assert set(runs["backbones/all"].needs) == base | networks
    assert not {"sizes/all", "variance/all", "backbones/all"} & set(grid(lambda content: None))
