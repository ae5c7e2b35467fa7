import subprocess
import sys
import time

import pytest

from catscans_lib.runs import time_limits

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_what_takes_longer_than_its_minutes_is_stopped(monkeypatch):
    monkeypatch.setenv(time_limits.MINUTES, "0.005")
    with time_limits.watched() as watch, subprocess.Popen(SLEEP) as process:
        assert process.wait(60) == -9
    assert watch.is_over


@pytest.mark.parametrize("minutes", ["0", "", "10"])
def test_what_ends_in_time_is_left_alone(monkeypatch, minutes):
    monkeypatch.setenv(time_limits.MINUTES, minutes)
    with time_limits.watched() as watch:
        time.sleep(0.05)
    assert not watch.is_over
