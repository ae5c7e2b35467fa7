import numpy as np
import pandas as pd
import pytest
from scipy import special

from catscans_lib.recommend import known, model

SOURCES = {
    "imagenet": "imagenet", "a": "natural", "b": "natural", "c": "medical", "d": "medical", "e": "medical", "f": "texture",
    "g": "texture",
}  # fmt: skip


def world(n_targets, slope, effect=0.0, noise=0.05, scales=None, seed=0):
    """Evidence whose AUCs follow one score by `slope` (logits), with an effect of each source and a scale of each target."""
    rng = np.random.default_rng(seed)
    effects, rows = effect * rng.normal(size=len(SOURCES)), []
    for number in range(n_targets):
        near = rng.normal(size=len(SOURCES))
        scale = 1.0 if scales is None else scales[number]
        logits = rng.normal(1.5, 0.5) + scale * (slope * near + effects + noise * rng.normal(size=len(SOURCES)))
        key = {"study": "made", "target": f"t{number}", "backbone": "small", "se": np.nan}
        rows += [
            key | {"source": source, "family": family, "auc": auc, "logme": 5 + 0.01 * x}
            for (source, family), auc, x in zip(SOURCES.items(), special.expit(logits), near, strict=True)
        ]
    return pd.DataFrame(rows)


def candidates(scores):
    near = pd.Series(scores, dtype=float)
    return pd.DataFrame({"source": near.index, "backbone": "small", "logme": -3 + 0.01 * near.to_numpy()}).assign(
        family=lambda table: table["source"].map(SOURCES).fillna("medical")
    )


def test_closeness_counts_from_imagenet_in_units_of_the_known_scores():
    evidence = world(4, 0.3)
    unit = evidence.groupby("target")["logme"].std().pow(2).mean() ** 0.5
    table = model.rank(model.fit(evidence), candidates({"imagenet": 1.0, "a": 3.0, "b": 1.0})).set_index("source")
    assert table["closeness"].to_dict() == pytest.approx({"imagenet": 0, "a": 0.02 / unit, "b": 0}, abs=1e-6)
    other = evidence.assign(n_leep=2.0, sfda=evidence["logme"] * 1000)  # no differences; other units
    again = model.rank(
        model.fit(other), candidates({"imagenet": 1.0, "a": 3.0, "b": 1.0}).assign(n_leep=7, sfda=np.nan)
    )
    assert again.set_index("source")["closeness"].to_dict() == pytest.approx(table["closeness"].to_dict())


def test_the_slope_of_simulated_results_is_recovered():
    evidence = world(8, 0.3, scales=[0.5, 1, 2, 1, 0.5, 2, 1, 1])
    slopes = model.fit(evidence).draws.slope
    assert slopes.mean() == pytest.approx(0.3, abs=3 * slopes.std())
    assert slopes.std() < 0.12


def test_without_a_relation_no_slope_is_found_and_no_source_is_sure_to_be_best():
    fitted = model.fit(world(6, 0.0, noise=0.3))
    assert abs(fitted.draws.slope.mean()) < 3 * fitted.draws.slope.std()
    table = model.rank(fitted, candidates(dict(zip(SOURCES, np.linspace(-1, 1, 8), strict=True))))
    assert table["p_best"].max() < 0.5


def test_a_source_that_is_good_everywhere_is_ranked_first_also_without_a_difference_in_score():
    evidence = world(5, 0.0, noise=0.05)
    good = evidence["source"] == "c"
    evidence.loc[good, "auc"] = special.expit(special.logit(evidence.loc[good, "auc"]) + 0.8)
    fitted = model.fit(evidence)
    table = model.rank(fitted, candidates(dict.fromkeys(SOURCES, 0.0)))
    assert table["source"].iloc[0] == "c" and table["p_best"].iloc[0] > 0.9
    assert "mostly on how good a source was on other targets (" in model.conclusion(fitted, model.check(evidence))[0]


def test_the_ranking_follows_the_score_and_its_numbers_are_consistent():
    fitted = model.fit(world(6, 0.3))
    here = candidates(dict(zip(SOURCES, np.linspace(-1.5, 1.5, 8), strict=True)))
    table = model.rank(fitted, here)
    assert table["source"].iloc[0] == "g"
    assert table["p_best"].sum() == pytest.approx(1)
    assert table["gain"].sum() == pytest.approx(0, abs=1e-9)
    assert ((table["low"] < table["gain"]) & (table["gain"] < table["high"])).all()
    assert table["loss"].is_monotonic_increasing and table["loss"].min() > 0
    pd.testing.assert_frame_equal(table, model.rank(fitted, here))
    drawn = model.draws(fitted, here)
    assert drawn.sub(drawn.mean(axis=1), axis=0).mean().to_dict() == pytest.approx(
        table.set_index("source")["gain"].to_dict()
    )


def test_a_source_without_any_known_result_gets_a_wider_interval_and_the_mean_of_its_family():
    evidence = world(6, 0.0, effect=0.3, noise=0.05)
    textures = evidence["family"] == "texture"
    evidence.loc[textures, "auc"] = special.expit(special.logit(evidence.loc[textures, "auc"]) - 2)
    here = candidates(dict.fromkeys(["imagenet", "a", "c", "new", "rough"], 0.0))
    here.loc[here["source"] == "rough", "family"] = "texture"
    table = model.rank(model.fit(evidence), here).set_index("source")
    width = table["high"] - table["low"]
    assert width["new"] > 1.2 * width["c"]
    assert table["gain"].idxmin() == "rough"


def test_random_weights_need_no_score_and_others_without_one_are_left_out():
    evidence = world(4, 0.2)
    evidence.loc[evidence["source"] == "g", ["source", "family", "logme"]] = ["none", "none", np.nan]
    here = candidates({"imagenet": 0.0, "none": np.nan, "a": np.nan}).assign(family=["imagenet", "none", "natural"])
    assert set(model.rank(model.fit(evidence), here)["source"]) == {"imagenet", "none"}


def test_a_good_score_makes_the_advice_better_than_chance():
    check = model.check(world(5, 0.4))
    assert list(check.columns) == model.CHECK
    assert check["regret"].mean() < 0.3 * check["regret_random"].mean()
    assert check["regret"].mean() < check["regret_imagenet"].mean()
    assert check["regret_probe"].isna().all()
    assert check["covered"].mean() > 0.85


def test_where_imagenet_is_best_anyway_the_advice_says_that_it_does_not_beat_it():
    evidence = world(5, 0.0, noise=0.05)
    first = evidence["source"] == "imagenet"
    evidence.loc[first, "auc"] = special.expit(special.logit(evidence.loc[first, "auc"]) + 1)
    check = model.check(evidence)
    assert (check["advised"] == "imagenet").all() and check["regret"].max() == 0
    assert (
        "On 5 known targets, each left out in turn, it does not beat always ImageNet"
        in model.conclusion(model.fit(evidence), check)[1]
    )


def test_targets_of_the_same_images_are_left_out_together():
    evidence = world(4, 0.2).replace({"target": {"t0": "chest", "t1": "pneumoniamnist"}})
    seen = []
    original = model._fit

    def spy(placed, *rest):
        seen.append(set(placed["target"]))
        return original(placed, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "_fit", spy)
        model.check(evidence)
    assert seen[0] == seen[1] == {"t2", "t3"}


def test_one_target_is_not_enough():
    with pytest.raises(ValueError, match="two known targets with AUCs and scores of two sources each"):
        model.fit(world(1, 0.2))


def test_two_known_targets_advise_and_leave_the_check_empty():
    evidence = world(2, 0.2)
    checked = model.check(evidence)
    assert checked.empty and list(checked.columns) == model.CHECK
    assert "not known: that needs three known targets" in model.conclusion(model.fit(evidence), checked)[1]


def test_the_rule_always_imagenet_takes_the_network_of_imagenet_that_was_best_elsewhere():
    evidence = world(4, 0.0)
    evidence.loc[evidence["source"] == "imagenet", "auc"] = 0.99  # the best source everywhere
    of_another = evidence["source"] == "a"
    evidence.loc[of_another, ["source", "family", "backbone"]] = ["imagenet1k", "imagenet", "larger"]
    evidence.loc[of_another, "auc"] = 0.5
    checked = model.check(evidence)
    assert (checked["advised"] == "imagenet").all() and (checked["regret"] == 0).all()
    assert (checked["regret_imagenet"] == 0).all()
    assert "it does not beat always ImageNet" in model.conclusion(model.fit(evidence), checked)[1]


@pytest.mark.slow
def test_the_shipped_check_is_that_of_the_shipped_evidence_and_of_this_model(monkeypatch):
    evidence = known.evidence()
    computed = model.check(evidence)
    monkeypatch.setattr(model, "check", None)
    shipped = model.known_check(evidence)  # else: .venv/bin/python benchmarks/advice.py --ship
    facts = ["study", "target", "n", "advised", "best", *model.REGRETS]
    pd.testing.assert_frame_equal(shipped[facts], computed[facts], check_dtype=False, rtol=1e-4)
    np.testing.assert_allclose(shipped[["p_advised", "p_best"]], computed[["p_advised", "p_best"]], atol=0.03)


def test_the_check_is_shipped_for_the_shipped_evidence_and_computed_for_any_other(monkeypatch):
    monkeypatch.setattr(model, "check", lambda evidence, measures: pd.DataFrame(columns=model.CHECK))
    assert len(model.known_check(known.evidence())) >= 21  # else: .venv/bin/python benchmarks/advice.py --ship
    assert model.known_check(known.evidence().iloc[1:]).empty
    assert model.known_check(known.evidence(), ["logme"]).empty
