"""Which classes of two datasets correspond, so that networks trained on one can be evaluated on the other."""

from catscans_lib import datasets
from catscans_lib.errors import InputError


def label_map(train: str, test: str) -> dict[str, list[str]]:
    """Return the classes of `train` that each class of `test` corresponds to; a class without a counterpart is missing.

    The card of `test` says so (`labels_as`); without an entry for `train`, classes of the same name correspond. InputError if
    the map names an unknown class, two sets of classes overlap in part, or fewer than two classes are left.
    """
    ours, theirs = datasets.get(train), datasets.get(test)
    stated = theirs.labels_as.get(train)
    same = [name for name in theirs.class_names() if name in ours.class_names()]
    pairs = {name: name for name in same} if stated is None else stated
    found = {name: [to] if isinstance(to, str) else sorted(to) for name, to in pairs.items()}
    where = f"external: {train} -> {test}"
    advice = f"Correct labels_as.{train} in the card of '{test}'."
    sides = ((test, theirs, list(found)), (train, ours, [name for to in found.values() for name in to]))
    for dataset, card, names in sides:
        if card.class_names() and (wrong := [name for name in names if name not in card.class_names()]):
            known = ", ".join(card.class_names())
            raise InputError(f"{where}: '{wrong[0]}' is no class of '{dataset}'; known: {known}. {advice}")
    counterparts = {frozenset(to) for to in found.values()}
    if len(set().union(*counterparts)) < sum(map(len, counterparts)):
        raise InputError(f"{where}: two classes have some but not all counterparts in common: {found}. {advice}")
    if len(counterparts) < 2:
        classes = [", ".join(card.class_names()) or "classes by folder" for card in (ours, theirs)]
        raise InputError(
            f"{where}: {len(counterparts)} classes correspond, at least two are needed. '{train}' has: {classes[0]}; '{test}' "
            f"has: {classes[1]}. State labels_as.{train} in the card of '{test}': {{class of {test}: class of {train}}}."
        )
    return found


def check_separable(train: str, test: str) -> None:
    """Raise InputError if both may have the same images or patients under different names."""
    if not datasets.separable(train, test):
        raise InputError(
            f"external: {train} -> {test}: both have images of the same patients under different names, which cannot be found "
            "and left out, so this is no other collection. Choose another test set."
        )
