"""The chapter on costs: its numbers follow from the paper's grid and the rates, and grow as they must."""

import pytest
import tiny

from catscans_lib.book import study_costs
from catscans_lib.grid import expand
from catscans_lib.sweep import costs


@pytest.fixture(scope="module")
def found():
    return study_costs.numbers()


def test_the_papers_grid_trains_as_many_networks_as_one_counts(found):
    """Eight sources; 24 pairs and 3 baselines of 5 folds, the baselines once more with a longer budget."""
    by_step = {row["step"]: row for row in found["steps"]}
    assert by_step["pretrain"]["n_trainings"] == 8
    assert by_step["transfer"]["n_trainings"] == 24 * 5 + 3 * 2 * 5
    assert found["total"]["n_runs"] == len(expand.grid("paper"))


def test_hours_on_a_gpu_are_images_over_the_rate(found):
    """Of stl10: 13,000 images, nine tenths of them for 50 epochs; a tenth of the images is held back."""
    run, rate = expand.grid("paper")["pretrain/stl10"], costs.GPU_RATES["resnet50"]
    n_passes = 13_000 * 50 * 0.9
    assert costs.passes("pretrain", run.parameters, expand.load("paper")) == pytest.approx(n_passes)
    cost = costs.estimator("paper", with_gpu=True)(run)
    assert cost.seconds == pytest.approx(costs.FLAT_S["pretrain"] + n_passes * (96 / 112) ** 2 / rate.per_s)


def test_larger_grids_cost_in_proportion(found):
    hours = {tuple(row[name] for name in ("sources", "targets", "folds", "seeds")): row for row in found["larger"]}
    study, seeds, targets = hours[9, 3, 5, 1], hours[9, 3, 5, 3], hours[9, 6, 5, 1]
    assert study["gpu_h"] == pytest.approx(
        found["total"]["gpu_h"], rel=0.2
    )  # of the study, where a source may be the target
    assert targets["gpu_h"] - study["gpu_h"] == pytest.approx((seeds["gpu_h"] - study["gpu_h"]) / 2)
    assert hours[100, 50, 5, 3]["n_trainings"] == 75_000


def test_a_project_without_the_papers_grid_has_no_such_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tiny.project(tmp_path)))
    assert study_costs.numbers() is None
