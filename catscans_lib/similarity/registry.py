"""All measures by name, in the order in which tables list them. `Measure.why` says why each of them is here.

To add a measure, write a function and its record in the module of its family, with the reason in `why`. NCTI (Wang et al.,
2023, ICCV) cannot be added: its score rescales parts by their minimum and maximum over all candidates, so one source has none.
"""

from collections.abc import Iterable

from catscans_lib.errors import unknown
from catscans_lib.similarity import task2vec
from catscans_lib.similarity.measure import Measure
from catscans_lib.similarity.measures import distribution, feature_based, label_based, linear_probe

FAMILIES = (label_based, feature_based, linear_probe, distribution, task2vec)
MEASURES: dict[str, Measure] = {measure.name: measure for family in FAMILIES for measure in family.MEASURES}

# Shown before all others: those of `catscans recommend`, the rule that scores with labels have to beat among them, the standard
# score of networks with a classifier, the distance that warns of unfamiliar images, and the original study's.
LEADING = (
    "logme", "linear_probe_auc", "regularised_h_score", "sfda", "n_leep", "leep", "mmd_rbf", "task2vec_cosine",
)  # fmt: skip
N_LEADING = 9


def leading(primary: str, names: Iterable[str]) -> list[str]:
    """Return those of `names` that pages open with: the primary measure and at most eight others; the first nine without any."""
    names = list(dict.fromkeys(names))
    found = [name for name in dict.fromkeys((primary, *LEADING)) if name in names]
    return (found or names)[:N_LEADING]


def get(name: str) -> Measure:
    """Return a measure; InputError if the name is unknown."""
    if name not in MEASURES:
        raise unknown("measure", name, tuple(MEASURES))
    return MEASURES[name]


def chosen(names: Iterable[str] | None) -> list[Measure]:
    """Return the named measures, or all of them for None."""
    return [get(name) for name in names or MEASURES]
