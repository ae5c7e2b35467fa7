"""A balanced part of a grid: counts by hand of sources, targets and pairs of sources."""

from collections import Counter
from itertools import combinations

import pytest
import tiny

from catscans_lib.errors import InputError
from catscans_lib.grid import expand, fraction, profiles

NAMES = tuple("abcdefghijklmnopqrst")


@pytest.mark.parametrize(("n_sources", "n_targets", "n_both"), [(20, 12, 0), (9, 8, 8), (6, 15, 0), (12, 6, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_sources_and_targets_keep_as_many_pairs_as_others_and_smaller_parts_lie_within_larger_ones(
    n_sources, n_targets, n_both, seed
):
    sources = NAMES[:n_sources]
    targets = (*NAMES[:n_both], *(f"t{number}" for number in range(n_targets - n_both)))
    before = set()
    for share in (0.25, 0.5, 0.75, 1.0):
        found = fraction.pairs(sources, targets, share, seed)
        n_pairs = n_sources * n_targets - n_both
        assert len(found) == round(share * n_pairs) and before <= found
        assert all(source != target for source, target in found)
        of_targets = Counter(target for _, target in found)
        assert set(of_targets) == set(targets) and max(of_targets.values()) - min(of_targets.values()) <= 1
        of_sources = Counter(source for source, _ in found)
        assert set(of_sources) == set(sources) and max(of_sources.values()) - min(of_sources.values()) <= 2
        before = found
    assert before == {(source, target) for source in sources for target in targets if source != target}
    assert fraction.pairs(sources, targets, 0.5, seed) != fraction.pairs(sources, targets, 0.5, seed + 1)


def test_any_two_sources_meet_at_about_as_many_targets():
    targets = [f"t{number}" for number in range(30)]
    found = fraction.pairs(NAMES, targets, 0.5, 0)
    of = {source: {target for one, target in found if one == source} for source in NAMES}
    met = [len(of[one] & of[other]) for one, other in combinations(NAMES, 2)]
    assert min(met) >= 4 and max(met) <= 10  # 15 of 30 targets each: 7.1 on average


def test_a_part_without_a_pair_for_every_source_is_refused():
    with pytest.raises(InputError, match=r"fraction 0.3 leaves 2 of 8 pairs, .* The smallest one is 0.5\."):
        fraction.pairs("abcd", "xy", 0.3, 0)
    assert len(fraction.pairs("abcd", "xy", 0.5, 0)) == 4


def test_the_grid_of_a_part_keeps_the_baseline_and_reads_no_pair_that_it_leaves_out(monkeypatch):
    content = tiny.grid()
    content["datasets"] |= {name: {"size_px": 24, "n_images": 180} for name in ("stl10", "sti10", "isic2018")}
    content["pretrain"]["sources"] |= {"stl10": None, "sti10": None, "chest": None}
    content["transfer"]["targets"]["isic2018"] = {"n_images": [20]}
    whole = expand.runs(profiles.validate(content, "a file"), "demo", "a file")
    content["transfer"]["fraction"] = 0.57
    part = expand.runs(profiles.validate(content, "a file"), "demo", "a file")
    assert part.keys() < whole.keys()
    base = [run.settings for run in part.values() if run.step == "transfer" and not run.settings.n_images]
    pairs = {(one.source, one.target) for one in base}
    assert {("none", "chest"), ("none", "isic2018")} < pairs and len(pairs) == 2 + 4  # of 7 pairs
    sizes = {run.settings.source for run in part.values() if run.step == "transfer" and run.settings.n_images}
    assert sizes == {source for source, target in pairs if target == "isic2018"}
    assert {need for run in part.values() for need in run.needs} <= part.keys()
    assert part["evaluate/all"].needs == tuple(f"transfer/{one.source}--{one.target}" for one in base)
