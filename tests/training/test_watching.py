"""What a training shows of itself: a line per epoch, and the logs that its settings ask for."""

import csv
import importlib.util
import re

import pytest
from test_loop import SETTINGS, fitted, state

from catscans_lib.training import Training

LINE = (
    r"epoch {n} of {epochs} of part, loss \d\.\d{{4}}{auc}, rate 0\.001, [\d,]+ images/s, "
    r"ends by (Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d\d:\d\d"
)


@pytest.mark.parametrize(("n_train", "auc"), [(24, r", inner AUC [01]\.\d{3}"), (32, "")])
def test_every_epoch_prints_a_line_and_appends_it_to_the_log_of_the_run(tmp_path, capsys, n_train, auc):
    fitted(state(tmp_path), epochs=2, n_train=n_train)
    fitted(state(tmp_path), epochs=3, n_train=n_train)
    printed = capsys.readouterr().out.splitlines()
    assert (tmp_path / "recipe/logs/epochs.log").read_text().splitlines() == printed
    for n, epochs, line in zip((1, 2, 3), (2, 2, 3), printed, strict=True):
        assert re.fullmatch(LINE.format(n=n, epochs=epochs, auc=auc), line), line
    assert not list(tmp_path.glob("*/logs/*.csv"))


def test_keras_writes_its_csv_on_request_and_appends_to_it_after_an_interruption(tmp_path):
    for epochs in (1, 3):
        _, history = fitted(state(tmp_path), epochs=epochs, logs=["csv"])
    with (tmp_path / "recipe/logs/part.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    losses = history.query("split == 'validation' and metric == 'loss'")["value"]
    assert [float(row["val_loss"]) for row in rows] == pytest.approx(list(losses))


def test_tensorboard_needs_its_package_and_writes_what_it_reads(tmp_path, monkeypatch):
    if importlib.util.find_spec("tensorboard"):
        fitted(state(tmp_path), logs=["tensorboard"])
        assert list((tmp_path / "recipe/logs/part/train").glob("events.out.tfevents*"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("catscans_lib.training.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="tensorboard is not installed; install it: .venv/bin/pip install tensorboard"):
        Training(**(SETTINGS.model_dump() | {"logs": ["tensorboard"]}))


def test_checkpoints_are_saved_by_time_and_after_the_last_epoch_where_other_rates_follow(tmp_path):
    fitted(state(tmp_path, "short"), checkpoint_minutes=2)
    assert state(tmp_path, "short").load() is None
    fitted(state(tmp_path, "one of several"), checkpoint_minutes=2, other_learning_rates=[0.1])
    assert state(tmp_path, "one of several").load()[1]["epoch"] == SETTINGS.epochs
