"""All measures by name, in the order in which tables list them.

NCTI (Wang et al., 2023, ICCV) is not among them: its score is a sum of parts that are scaled by their minimum and maximum over
the candidates, so a single source has none.
"""

from collections.abc import Iterable

from catscans_lib.errors import unknown
from catscans_lib.similarity import meta_features
from catscans_lib.similarity.measure import Inputs, Measure
from catscans_lib.similarity.measures import (
    classifiers,
    distribution,
    experts,
    feature_based,
    label_based,
    logme,
    optimal_transport,
    representations,
)
from catscans_lib.similarity.task2vec import embedding

_FAMILIES = (
    label_based, logme, feature_based, classifiers, representations, distribution, optimal_transport, embedding, experts,
    meta_features,
)  # fmt: skip
MEASURES: dict[str, Measure] = {measure.name: measure for family in _FAMILIES for measure in family.MEASURES}


def known() -> tuple[str, ...]:
    """Return the names of all measures."""
    return tuple(MEASURES)


def get(name: str) -> Measure:
    """Return a measure; InputError when the name is not known."""
    if name not in MEASURES:
        raise unknown("measure", name, known())
    return MEASURES[name]


def chosen(names: Iterable[str] | None) -> list[Measure]:
    """Return the named measures, or all of them."""
    return [get(name) for name in names or known()]


def computable(inputs: Inputs) -> tuple[str, ...]:
    """Return the names of the measures that have all they need in `inputs`."""
    return tuple(
        name for name, measure in MEASURES.items() if all(getattr(inputs, part) is not None for part in measure.needs)
    )


def compute(name: str, inputs: Inputs, seed: int = 0) -> float:
    """Return the value of a measure.

    Parameters
    ----------
    name : str
        One of `known()`.
    inputs : Inputs
        At least what the measure needs.
    seed : int
        Of what it draws, where it draws anything.

    Raises
    ------
    InputError
        If the name is not known, something is missing, or something is not as `checks` wants it.
    """
    return get(name).compute(inputs, seed)
