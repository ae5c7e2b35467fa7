import numpy as np
import pandas as pd
import pytest

from catscans_lib.recommend import model

SOURCES = [f"s{number}" for number in range(8)]


def world(n_targets, slope, effect=0.0, noise=0.005, seed=0):
    """AUCs that follow one measure by `slope`, with an effect of each source; values of the measure differ in scale by target."""
    rng = np.random.default_rng(seed)
    effects, aucs, values = effect * rng.normal(size=len(SOURCES)), [], []
    for number in range(n_targets):
        near = rng.normal(size=len(SOURCES))
        z = (near - near.mean()) / near.std(ddof=1)
        auc = 0.8 + slope * z + effects + noise * rng.normal(size=len(SOURCES))
        for place, source in enumerate(SOURCES):
            key = {"source": source, "target": f"t{number}"}
            aucs += [
                key | {"mode": "fine_tune", "fold": fold, "auc": auc[place] + 0.01 * (fold - 2)} for fold in (1, 2, 3)
            ]
            values.append(key | {"measure": "m", "value": -(10.0**number) * near[place], "larger_is_closer": False})
    values.append({"source": "t0", "target": "t0", "measure": "m", "value": 1e9, "larger_is_closer": False})
    return pd.DataFrame(aucs), pd.DataFrame(values)


def test_closeness_ignores_scale_direction_noise_floors_and_a_measure_with_one_value_for_all_sources():
    _, values = world(2, 0.02)
    near = model.closeness(values, ["m"])
    np.testing.assert_allclose(near.groupby(level="target").mean(), 0, atol=1e-12)
    np.testing.assert_allclose(near.groupby(level="target").std(), 1)
    flipped = values.assign(value=-3 * values["value"], larger_is_closer=True)
    pd.testing.assert_series_equal(model.closeness(flipped, ["m"]), near)
    both = pd.concat([values, values.assign(measure="constant", value=1.0)])
    pd.testing.assert_series_equal(model.closeness(both, ["m", "constant"]), near)
    assert (model.closeness(both, ["constant"]) == 0).all()
    rounding = 1 + 1e-15 * np.arange(len(values))
    noisy = pd.concat([values, values.assign(measure="constant", value=rounding)])
    assert (model.closeness(noisy, ["constant"]) == 0).all()


def test_the_slope_of_simulated_results_is_recovered():
    aucs, values = world(6, 0.03)
    calibration = model.calibrate(aucs, model.closeness(values, ["m"]))
    assert calibration.slope == pytest.approx(0.03, abs=3 * calibration.slope_sd)
    assert calibration.slope_sd < 0.003
    assert calibration.noise_sd == pytest.approx(0.005, rel=0.3)
    assert (calibration.n_targets, calibration.sources) == (6, SOURCES)


def test_without_a_relation_no_slope_is_found_and_no_source_is_sure_to_be_best():
    aucs, values = world(6, 0.0, noise=0.02)
    calibration = model.calibrate(aucs, model.closeness(values, ["m"]))
    assert abs(calibration.slope) < 3 * calibration.slope_sd
    table = model.rank(calibration, pd.Series(np.linspace(-1, 1, 8), index=SOURCES))
    assert table["p_best"].max() < 0.5


def test_a_source_that_is_good_everywhere_is_ranked_first_also_without_a_measure():
    aucs, values = world(5, 0.0, noise=0.002)
    aucs.loc[aucs["source"] == "s3", "auc"] += 0.05
    calibration = model.calibrate(aucs, model.closeness(values, ["m"]))
    table = model.rank(calibration, pd.Series(0.0, index=SOURCES))
    assert table["source"].iloc[0] == "s3"
    assert table["p_best"].iloc[0] > 0.95
    assert table["gain"].iloc[0] == pytest.approx(0.05 * 7 / 8, abs=0.01)


def test_the_ranking_follows_the_measure_and_its_numbers_are_consistent():
    aucs, values = world(6, 0.03)
    calibration = model.calibrate(aucs, model.closeness(values, ["m"]))
    near = pd.Series(np.linspace(-1.5, 1.5, 8), index=SOURCES)
    table = model.rank(calibration, near)
    assert table["source"].iloc[0] == "s7"
    assert table["p_best"].sum() == pytest.approx(1)
    assert table["gain"].sum() == pytest.approx(0, abs=1e-9)
    assert ((table["low"] < table["gain"]) & (table["gain"] < table["high"])).all()
    assert table["loss"].is_monotonic_increasing and table["loss"].min() > 0
    pd.testing.assert_frame_equal(table, model.rank(calibration, near))


def test_a_source_without_any_known_result_gets_a_wider_interval():
    aucs, values = world(6, 0.01, effect=0.03)
    calibration = model.calibrate(aucs, model.closeness(values, ["m"]))
    near = pd.Series(0.0, index=[*SOURCES, "new"])
    table = model.rank(calibration, near).set_index("source")
    width = table["high"] - table["low"]
    assert width["new"] > 1.5 * width[SOURCES].max()


def test_intervals_cover_the_aucs_of_targets_that_were_left_out(monkeypatch):
    monkeypatch.setattr(model, "N_DRAWS", 4000)
    covered = [model.check(*world(4, 0.02, effect=0.01, noise=0.01, seed=seed), ["m"])["covered"] for seed in range(15)]
    assert 0.85 <= np.mean(np.concatenate(covered)) <= 1.0


def test_the_ranking_is_better_than_chance_if_the_measure_is():
    check = model.check(*world(4, 0.03), ["m"])
    assert list(check.columns) == model.CHECK
    assert check["regret"].mean() < 0.3 * check["regret_random"].mean()
    assert check["regret_imagenet"].isna().all()


def test_one_target_is_not_enough():
    aucs, values = world(1, 0.02)
    with pytest.raises(
        ValueError, match="two targets with AUCs of three sources each; the number of sources by target is {'t0': 8}"
    ):
        model.calibrate(aucs, model.closeness(values, ["m"]))
