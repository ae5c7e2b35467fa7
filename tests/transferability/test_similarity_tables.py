"""Tables of similarity: noise over draws against differences between sources, self distance, ties."""

import numpy as np
import pandas as pd
import pytest

from catscans_lib.transferability import similarity_tables


def table(values, measure="m", target="chest", larger_is_closer=False):
    """Values by source, one per draw."""
    rows = [(source, seed, value) for source, draws in values.items() for seed, value in enumerate(draws)]
    found = pd.DataFrame(rows, columns=["source", "seed", "value"])
    return found.assign(measure=measure, target=target, larger_is_closer=larger_is_closer)


def test_noise_is_the_spread_over_draws_and_self_distance_a_level():
    values = {"dtd": (1.0, 3.0), "stl10": (5.0, 7.0), "imagenet": (4.0, 4.0), "chest": (0.5, 0.7)}
    found = similarity_tables.noise(table(values)).iloc[0]
    assert found["sd_draws"] == pytest.approx(np.sqrt((2 + 2 + 0) / 3))  # variances 2, 2, 0
    assert found["sd_sources"] == pytest.approx(2)  # of 2, 6, 4
    assert found["noise"] == pytest.approx(np.sqrt(4 / 3) / 2)
    assert found[["self_distance", "distance", "n_draws"]].tolist() == pytest.approx([0.6, 4, 2])


def test_noise_of_one_draw_or_equal_sources_is_unknown():
    once = {"dtd": (1.0,), "stl10": (2.0,)}
    equal = {"dtd": (1.0, 1.2), "stl10": (1.2, 1.0 + 1e-14)}
    found = similarity_tables.noise(pd.concat([table(once), table(equal, "n", larger_is_closer=True)]))
    assert found["noise"].isna().all() and found["self_distance"].isna().all()
    assert found["n_draws"].tolist() == [1, 2]


def test_values_of_other_targets_do_not_make_ties_but_set_the_scale():
    near = table({"dtd": (1.0,), "stl10": (1.0 + 1e-8,)})
    assert similarity_tables.closer(near).nunique() == 2
    far = table({"dtd": (1e3,), "stl10": (1.0,)}, target="isic2018")
    assert similarity_tables.closer(pd.concat([near, far]))["m"]["chest"].nunique() == 1


def test_chosen_measures_are_ranked_in_their_order():
    values = pd.concat([table({"dtd": (1.0,), "stl10": (2.0,)}, name) for name in "abc"])
    assert similarity_tables.ranks(values, ["c", "a"])["measure"].tolist() == ["c", "c", "a", "a"]
