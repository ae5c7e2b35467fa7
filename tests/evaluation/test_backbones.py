"""Ranks of sources by backbone and the agreement of backbones, against SciPy and hand calculation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from catscans_lib.evaluation import backbones

MEANS = {"small": {"a": 0.9, "b": 0.8, "c": 0.7, "none": 0.6}, "large": {"a": 0.8, "b": 0.9, "c": 0.7, "none": 0.5}}


def runs(means=MEANS, target="chest"):
    rows = [
        {"source": source, "target": target, "mode": "fine_tune", "backbone": backbone, "fold": fold, "seed": seed}
        | {"auc": mean + 0.01 * (-1) ** fold}
        for backbone, of in means.items()
        for source, mean in of.items()
        for fold in (1, 2)
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


def test_ranks_and_gains_are_within_a_backbone_and_random_weights_are_not_ranked():
    found = backbones.ranks(runs()).set_index(["backbone", "source"])
    assert found.loc["small", "rank"].to_dict() == {"a": 1, "b": 2, "c": 3, "none": pytest.approx(np.nan, nan_ok=True)}
    assert found.loc[("large", "b"), ["auc", "gain", "rank"]].tolist() == pytest.approx([0.9, 0.4, 1])
    assert found.loc[("large", "b"), "fold_sd"] == pytest.approx(np.std([0.91, 0.89], ddof=1))


def test_only_sources_of_all_backbones_are_ranked_and_a_backbone_of_one_source_does_not_count():
    means = MEANS | {"own": {"d": 0.99}}
    means["large"] = means["large"] | {"e": 1.0}
    found = backbones.ranks(runs(means)).set_index(["backbone", "source"])
    assert np.isnan(found.loc[("own", "d"), "rank"]) and np.isnan(found.loc[("large", "e"), "rank"])
    assert found.loc[("large", "b"), "rank"] == 1 and set(found["n_sources"]) == {3}


def test_agreement_is_kendalls_tau_with_its_exact_p_and_w_is_that_of_mean_ranks():
    found = backbones.agreement(backbones.ranks(runs())).set_index("statistic")
    expected = stats.kendalltau([0.9, 0.8, 0.7], [0.8, 0.9, 0.7])
    assert found.loc["tau", ["value", "p"]].tolist() == pytest.approx([expected.statistic, expected.pvalue])
    assert (found.loc["tau", "n_sources"], found.loc["tau", "backbone_a"]) == (3, "small")
    sums = np.array([3, 3, 6])  # of ranks; m = 2 backbones, n = 3 sources
    assert found.loc["w", "value"] == pytest.approx(12 * ((sums - sums.mean()) ** 2).sum() / (4 * (27 - 3)))
    assert found.loc["w", "p"] > 0.05


def test_over_targets_the_mean_tau_has_an_interval_over_targets():
    parts = [backbones.ranks(runs(target="chest"))]
    alike = {"small": MEANS["small"], "large": MEANS["small"]}
    parts += [backbones.ranks(runs(alike, target=target)) for target in ("isic2018", "malaria")]
    found = backbones.agreement(pd.concat(parts))
    row = found[(found["target"] == "all") & (found["statistic"] == "tau")].iloc[0]
    taus = np.array([1 / 3, 1, 1])
    reach = stats.t.ppf(0.975, 2) * taus.std(ddof=1) / 3**0.5
    assert (
        row["value"] == pytest.approx(7 / 9) and row["value"] - row["low"] == pytest.approx(reach) and row["high"] == 1
    )
    assert found.loc[found["target"] == "isic2018", "value"].tolist() == pytest.approx([1, 1])


def test_two_sources_or_one_backbone_have_no_agreement():
    two = {name: {source: of[source] for source in ("a", "b")} for name, of in MEANS.items()}
    assert backbones.agreement(backbones.ranks(runs(two))).empty
    assert backbones.agreement(backbones.ranks(runs({"small": MEANS["small"]}))).empty
