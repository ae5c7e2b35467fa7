"""The grids, and the messages about faults in a params file."""

import os

import pytest
import tiny
import yaml

from catscans_lib import datasets, paths
from catscans_lib.datasets import label_maps
from catscans_lib.errors import InputError
from catscans_lib.grid import expand, experiments, profiles
from catscans_lib.grid.steps import STEPS
from catscans_lib.training import Augmentation


@pytest.fixture
def changed(monkeypatch):
    """Return a function that changes one value of demo.yaml (dotted key) and reads its grid."""
    text = (tiny.ROOT / "params/demo.yaml").read_text()

    def grid(dotted, value):
        content = experiments.applied(yaml.safe_load(text), {dotted: value})
        monkeypatch.setattr(profiles, "read", lambda profile: content)
        return expand.grid("demo")

    return grid


@pytest.mark.parametrize("profile", ("demo", "paper", "sample"))
def test_every_profile_is_valid_counts_its_runs_and_gives_all_sources_of_a_target_the_same_budget(profile):
    seen, budgets, runs = set(), {}, expand.grid(profile)
    for key, run in runs.items():
        assert set(run.needs) <= seen, key
        seen.add(key)
        if run.step == "transfer":
            of_source = {"source", "modes", "backbone", "variant", "n_images", "n_per_class"}
            budget = str(run.settings.model_dump(exclude=of_source))
            assert budgets.setdefault(run.settings.target, budget) == budget
            is_longer = run.name == f"none--{run.settings.target}"
            assert ("fine_tune_long" in run.settings.modes) == is_longer
    assert f" {len(runs)} runs" in (paths.root() / f"params/{profile}.yaml").read_text()


def test_transferability_averages_aucs_as_the_evaluation_does(changed):
    runs = changed("evaluate.average", "macro")
    assert runs["transferability/all"].settings.average == runs["evaluate/all"].settings.average == "macro"


def test_the_full_study_has_nine_sources_three_targets_and_the_original_example_as_a_row():
    runs = expand.grid("paper")
    transfers = [run.settings for run in runs.values() if run.step == "transfer"]
    assert len({row.source for row in transfers} - {"none"}) == 9
    assert {row.target for row in transfers} == {"isic2018", "chest", "pcam_middle"}
    assert not any(row.source == row.target for row in transfers)
    row = runs["transfer/isic2018--pcam_middle"].settings
    assert (row.learning_rate, row.epochs, row.schedule) == (1e-6, 20, "constant")
    assert (row.batch_size, row.dropout, row.optimiser, row.class_weights) == (128, 0.5, "adam", "balanced")
    assert row.augmentation == Augmentation(rotation_deg=10.0, shift=0.1, horizontal_flip=True)
    assert (row.backbone, row.size_px) == ("resnet50", 96)
    assert runs["transfer/none--chest"].settings.size_px == 112
    assert runs["ingest/chest"].settings.n_folds == 5


def test_another_collection_is_ingested_and_read_by_the_transfers_of_its_pair_and_by_no_other(changed, monkeypatch):
    before = expand.grid("demo")
    monkeypatch.setattr(label_maps, "label_map", lambda *_: {"a": ["a"], "b": ["b"]})
    runs = changed("external", [{"train": "chest", "test": "dtd"}])
    for key, run in runs.items():
        if run.step == "transfer":
            is_asked = key.endswith("--chest")
            assert run.settings.external == ["dtd"] * is_asked
            assert ("ingest/dtd" in run.needs) == is_asked
            assert is_asked or run == before[key]
    with pytest.raises(InputError, match="external uses 'isic2017', which has no row in datasets"):
        changed("external", [{"train": "isic2018", "test": "isic2017"}])


@pytest.mark.parametrize("profile", ["demo", "sample", "paper"])
def test_only_the_baseline_has_the_longer_budget_and_the_regression_on_random_features_runs_everywhere(profile):
    for run in expand.grid(profile).values():
        if run.step == "transfer":
            assert ("fine_tune_long" in run.settings.modes) == (run.name == f"none--{run.settings.target}")
            assert run.settings.long_epochs > run.settings.epochs
            assert "linear_probe" in run.settings.modes


@pytest.mark.parametrize(
    ("dotted", "value", "message"),
    [
        (
            "folds.split",
            "published",
            "nadeau_bengio compares folds; folds.split: published has one. Set it to bootstrap",
        ),
        ("external", [{"train": "dtd", "test": "chest"}], "external.train: Unknown target 'dtd'; known: chest, "),
        ("external", [{"train": "chest", "test": "chest"}], "external: chest -> chest is the same dataset twice"),
        ("external", [{"train": "chest", "test": "dtd"}], "external: chest -> dtd: 0 classes correspond"),
        (
            "external",
            [{"train": "pcam_middle", "test": "pcam_small"}] * 2,
            "pcam_small.* is listed twice; name it once",
        ),
        ("backbone", "resnet", "Unknown backbone 'resnet'; known: .*resnet50, .*small_resnet, small_vit, squeezenet, "),
        ("backbone", "xception", "pretrain.* size_px got .*'xception' needs images of at least 71 px"),
        (
            "pretrain.sources.dtd.backbone",
            "resnet",
            "sources.dtd: backbone got .*Unknown backbone 'resnet'; known: .*xception",
        ),
        ("pretrain.sources.dtd.backbone", "xception", "pretrain.sources.dtd: size_px got 32.* at least 71 px"),
        (
            "pretrain.sources.sti10.weights",
            "efficientnet_lite0",
            "'efficientnet_lite0' are not for backbone 'small_resnet'",
        ),
        (
            "pretrain.sources.sti10.weights",
            "keras",
            "sources.sti10: weights got 'keras': Keras offers no .* for 'small_resnet'",
        ),
        (
            "transfer.defaults.backbone",
            "vgg16",
            "transfer.defaults.backbone: a network belongs to a source. Set pretrain",
        ),
        ("pretrain.defaults.backbone", "vgg16", "pretrain.defaults.backbone: a network belongs to a source"),
        ("transfer.targets.chest.backbone", "vgg16", "transfer.targets.chest.backbone: a network belongs to a source"),
        ("transfer.targets.isic", {}, "Unknown dataset 'isic'; known: bloodcell, bloodmnist, brain_mri"),
        ("datasets.cifar10", {"size_px": 32}, "datasets: Unknown dataset 'cifar10'"),
        ("pretrain.sources.cats", None, "pretrain.sources: Unknown dataset 'cats'"),
        (
            "transfer.defaults.learning_rate",
            "1e-5",
            "got the text '1e-5'; a number is needed. Write it without quotes: 1e-5",
        ),
        ("transfer.defaults.epochs", "ten", "epochs got 'ten'"),
        ("transfer.defaults.epochs", 0, "epochs got 0: .*greater than or equal to 1"),
        ("transfer.defaults.epoch", 8, "unknown key 'epoch'; known: .*epochs"),
        ("transfer.seed", 1, "unknown key 'seed'; known: .*, seeds"),
        (
            "transfer.defaults.augmentation.flip",
            True,
            "unknown key 'augmentation.flip'; known: brightness, .*horizontal_flip",
        ),
        ("transfer.defaults.augmentation.zoom", -0.1, "augmentation.zoom got -0.1: .*greater than or equal to 0"),
        (
            "transfer.defaults.augmentation.brightness",
            "0.2",
            "augmentation.brightness got the text '0.2'; a number is needed",
        ),
        ("transfer.defaults.augmentation.vertical_flip", 1, "augmentation.vertical_flip got 1: .*valid boolean"),
        ("transfer.defaults.mixup", 0.0, "mixup got 0.0: .*greater than 0"),
        ("transfer.defaults.optimiser", "rmsprop", "optimiser got 'rmsprop': .*'adam', 'adamw' or 'sgd'"),
        ("transfer.defaults.clip_norm", -1.0, "clip_norm got -1.0: .*greater than 0"),
        ("transfer.defaults.momentum", 1.0, "momentum got 1.0: .*less than 1"),
        ("transfer.defaults.label_smoothing", "0.1", "label_smoothing got the text '0.1'; a number is needed"),
        ("transfer.defaults.layer_decay", 0.0, "layer_decay got 0.0: .*greater than 0"),
        ("transfer.defaults.unfreeze_epochs", 8, "unfreeze_epochs 8 of 8 epochs only the head would ever learn"),
        ("transfer.defaults.l2_sp", {"alpha": 0.1}, "'l2_sp.beta' is missing"),
        ("pretrain.defaults.l2_sp", {"alpha": 0.1}, "unknown key 'l2_sp'; known: .*label_smoothing"),
        ("transfer.modes", ["finetune"], "got 'finetune'"),
        ("pretrain.sources.dtd.epochs", "5", "params/demo.yaml: pretrain.sources.dtd: epochs got the text '5'"),
        ("folds.n_folds", 1, "folds.n_folds got 1"),
        ("transfer.long_epochs", None, r"fine_tune_long needs long_epochs above epochs \(8\); long_epochs is None"),
        ("transfer.targets.chest.epochs", 16, r"chest: mode fine_tune_long needs .* \(16\); long_epochs is 16"),
        ("pretrain.defaults.validation_share", 0.99, "validation_share got 0.99: known are 0 .* and 0.05 to 0.95"),
        ("title", None, "title got None"),
        ("primary", {"mode": "fine_tune"}, "params/demo.yaml: 'primary.measure' is missing"),
        ("primary.statistic", "rho", "primary.statistic got 'rho': .*'spearman'"),
        ("primary.test", "t", "primary.test got 't': .*'nadeau_bengio'"),
        ("primary.margin", 1.5, "primary.margin got 1.5"),
        ("transfer.modes", ["linear_probe"], "primary.mode is 'fine_tune'; transfer.modes has: linear_probe"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_the_known_values(changed, dotted, value, message):
    with pytest.raises(InputError, match=message):
        changed(dotted, value)


def test_a_source_may_have_a_network_of_its_own_which_its_transfers_use_and_its_title_names(changed):
    runs = changed("pretrain.sources.isic2018", {"backbone": "squeezenet"})
    own = {key for key, run in runs.items() if run.parameters.get("backbone") == "squeezenet"}
    assert own == {"pretrain/isic2018", "transfer/isic2018--chest", "transfer/isic2018--pcam_middle"}
    assert runs["transfer/none--isic2018"].settings.backbone == "small_resnet"
    assert profiles.titles("demo") == datasets.titles() | {"isic2018": "ISIC 2018 (as a source: SqueezeNet 1.1)"}
    runs = changed("pretrain.sources.dtd", {"backbone": "efficientnet_lite0", "weights": "efficientnet_lite0"})
    assert runs["pretrain/dtd"].folders == set()  # the package's file, none in WEIGHTS
    assert "ingest/dtd" not in runs
    assert profiles.titles("demo")["dtd"] == f"{datasets.titles()['dtd']} (EfficientNet-Lite0)"


def test_the_primary_measure_is_one_that_the_profile_computes(changed):
    changed("primary.measure", "parc")
    profiles.check_measure("demo")
    changed("primary.measure", "logm")
    with pytest.raises(InputError, match="primary: Unknown measure 'logm'; known: .*logme"):
        profiles.check_measure("demo")
    changed("similarity.measures", ["parc", "leep"])
    with pytest.raises(InputError, match="primary: Unknown measure 'logme'; known: leep, parc"):
        profiles.check_measure("demo")


def test_the_margin_of_equivalence_is_that_of_the_declared_comparison(changed):
    assert changed("primary.margin", 0.03)["evaluate/all"].settings.margin == 0.03


def test_a_dataset_without_a_size_is_named(changed):
    content = yaml.safe_load((tiny.ROOT / "params/demo.yaml").read_text())["datasets"]
    with pytest.raises(InputError, match="uses 'dtd', which has no row in datasets"):
        changed("datasets", {key: row for key, row in content.items() if key != "dtd"})


def test_what_is_not_yaml_or_lacks_a_parameter_in_the_notebook_is_found_before_anything_runs(project):
    path = paths.notebook_path("transfer")
    path.write_text(path.read_text().replace("batch_size = None", "batch = None"))
    with pytest.raises(InputError, match="transfer.ipynb has no parameter batch_size; its .* has: .*backbone"):
        expand.grid("demo")
    (project / "params/demo.yaml").write_text("title: [")
    with pytest.raises(InputError, match="params/demo.yaml is not readable as YAML"):
        profiles.load("demo")


@pytest.mark.parametrize("step", STEPS.values(), ids=lambda step: step.name)
def test_the_notebooks_parameters_are_the_fields_of_its_settings(step):
    assert step.parameters() == sorted(step.settings.model_fields)


def test_a_run_takes_given_parameters_and_the_others_from_the_file():
    run = expand.find("transfer", profile="demo", source="dtd", target="chest", epochs=3, batch_size=None)
    assert run.key == "transfer/dtd--chest"
    assert (run.settings.epochs, run.settings.batch_size) == (3, 32)


def test_a_run_outside_the_grid_is_refused_with_the_known_runs():
    with pytest.raises(InputError, match=r"'chest--chest'; known: .*dtd--chest"):
        expand.find("transfer", profile="demo", source="chest", target="chest")


@pytest.mark.parametrize(
    ("step", "parameters", "resources", "expected"),
    [
        ("similarity", {}, {}, 1),
        ("similarity", {}, {"similarity": {"threads": 3}}, 3),
        ("feature_maps", {}, {"default": {"threads": 4}}, 4),
        ("ingest", {}, {"default": {"threads": 4}, "ingest": {"threads": 8}}, 8),
        ("transfer", {"threads": 1}, {"transfer": {"threads": 8}}, 1),
        ("transfer", {"threads": None}, {"transfer": {"threads": 8}}, 8),
        ("pretrain", {"threads": None}, {}, os.cpu_count()),
    ],
)
def test_every_step_gets_the_threads_of_its_resources(project, step, parameters, resources, expected):
    tiny.write_grid(project, tiny.grid() | {"resources": resources})
    assert profiles.threads("demo", step, parameters) == expected
