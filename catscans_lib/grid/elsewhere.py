"""Which other collections the networks of each target are evaluated on, as `external` of a profile says."""

from typing import Any

from catscans_lib.datasets import label_maps
from catscans_lib.errors import InputError, unknown
from catscans_lib.grid.schema import Profile


def tests(profile: Profile, target: str) -> list[str]:
    """Return the datasets that the networks of a target are evaluated on, in the order of the profile."""
    return [pair.test for pair in profile.external if pair.train == target]


def pairs(profile: Profile) -> list[dict[str, Any]]:
    """Return train, test and labels_as (which classes correspond) of every pair; InputError if one cannot be evaluated."""
    found: list[dict[str, Any]] = []
    for train, test in ((pair.train, pair.test) for pair in profile.external):
        if train not in profile.transfer.targets:
            raise InputError(f"external.train: {unknown('target', train, profile.transfer.targets)}")
        if train == test or (train, test) in ((pair["train"], pair["test"]) for pair in found):
            what = "the same dataset twice" if train == test else "listed twice"
            raise InputError(f"external: {train} -> {test} is {what}; name another collection, and each pair once.")
        sizes = [profile.datasets[name].size_px for name in (train, test)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"external: '{train}' has {sizes[0]} px and '{test}' {sizes[1]} px, but its networks see both. Set "
                f"datasets.{test}.size_px to {sizes[0]}."
            )
        label_maps.check_separable(train, test)
        found.append({"train": train, "test": test, "labels_as": label_maps.label_map(train, test)})
    return found
