"""`--set` changes the grid of an experiment, as a change of the study's file would."""

import pytest

from catscans_lib.errors import InputError
from catscans_lib.grid import expand, experiments


@pytest.fixture
def changed(project):
    """Return a function from changes to the parameters of the tiny grid's runs."""

    def grid(*words):
        with experiments.defined("demo", words, "changed" if words else None, keep=False) as profile:
            runs = expand.grid(profile).items()
            return {key: run.parameters | {"profile": "demo"} for key, run in runs}

    return grid


def test_a_plain_name_changes_every_run_with_that_parameter_and_nothing_else(changed):
    before, after = changed(), changed("epochs=7")
    differ = {key: {name for name in after[key] if after[key][name] != before[key][name]} for key in after}
    assert differ == {key: {"epochs"} if key.startswith(("pretrain", "transfer/")) else set() for key in after}
    assert after["transfer/dtd--chest"]["epochs"] == 7


def test_a_name_with_dots_changes_one_place(changed):
    after = changed("transfer.targets.chest.epochs=9", "pretrain.sources.dtd.batch_size=8")
    assert after["transfer/none--chest"]["epochs"] == 9
    assert (after["pretrain/dtd"]["epochs"], after["pretrain/dtd"]["batch_size"]) == (1, 8)
    assert after["transfer/none--chest"]["batch_size"] == 32


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("transfer.epochs=9", ["transfer/dtd--chest", "transfer/none--chest"]),
        ("transfer.defaults.patience=9", ["transfer/dtd--chest", "transfer/none--chest"]),  # not in the file
        ("pretrain.epochs=9", ["pretrain/dtd"]),
        ("transfer.seeds=[9]", ["transfer/dtd--chest", "transfer/none--chest"]),
        ("evaluate.draw_seed=9", ["evaluate/all"]),
    ],
)
def test_a_block_and_a_name_change_the_runs_of_that_block_alone(changed, word, keys):
    before, after = changed(), changed(word)
    assert sorted(key for key in after if after[key] != before[key]) == keys


def test_a_name_missing_in_the_file_is_added_at_its_place(changed):
    after = changed("pretrain.defaults.patience=2", "threads=3")
    assert [after[key]["patience"] for key in ("pretrain/dtd", "transfer/dtd--chest")] == [2, None]
    assert after["pretrain/dtd"]["threads"] == 3


def test_values_are_parsed_as_yaml_and_null_removes_a_value(changed):
    assert changed("seeds=[0, 1]")["transfer/dtd--chest"]["seeds"] == [0, 1]
    assert changed("augmentation=null")["pretrain/dtd"]["augmentation"] is None


def test_the_size_of_a_dataset_changes_in_all_its_runs(changed):
    after = changed("datasets.chest.size_px=32")
    assert {after[key]["size_px"] for key in ("ingest/chest", "transfer/dtd--chest")} == {32}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epochs=five", r"demo.yaml --set epochs=five: .*: epochs got 'five'"),
        ("epochs=0", "epochs got 0"),
        ("learning_rate='1e-5'", "a number is needed. Write it without quotes: 1e-5"),
        ("epoch=5", "--set epoch: the file states no such parameter; known: .*epochs"),
        ("transfr.epochs=5", "--set transfr.epochs: unknown key 'transfr'; known: .*transfer"),
        ("transfer.defaults.epoch=5", "unknown key 'epoch'"),
        ("title.words=5", "title has no keys below it"),
        ("transfer.keep_network=true", "unknown key 'keep_network'; known: .*keep_networks"),
        ("epochs", "--set got 'epochs'; name=value is needed"),
        ("epochs=[1", r"--set epochs: '\[1' is not readable as YAML"),
    ],
)
def test_an_invalid_change_is_refused(changed, word, message):
    with pytest.raises(InputError, match=message):
        changed(word)
