"""The record that describes a measure, and the inputs that measures are computed from."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from catscans_lib.errors import InputError

# Errors of numbers: a value is missing. All other errors are faults of the program, and end the run.
FAILURES = (ValueError, ArithmeticError, MemoryError)


@dataclass(frozen=True)
class Inputs:
    """What is known of a source and a target. A measure reads the fields it needs; the others may stay None.

    features (n_images, n_features), labels (n_images,) and groups (n_images,; patients, lesions or slides) are of the target's
    images; labels are 0 to n_classes - 1, or findings, bool (n_images, n_findings). source_head (n_images, n_source_classes) has
    probabilities by the source's network, and source_features (n_source_images, n_features) are of the source's images, by the
    same network. fisher and source_fisher (n_filters,) are Task2Vec embeddings of a probe network.
    """

    features: np.ndarray | None = None
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None
    source_head: np.ndarray | None = None
    source_features: np.ndarray | None = None
    fisher: np.ndarray | None = None
    source_fisher: np.ndarray | None = None


@dataclass(frozen=True)
class Measure:
    """One measure of similarity or transferability.

    `function` takes plain arrays: the fields `arguments` of `Inputs` by position, and those of `optional` that are given by
    keyword.
    """

    name: str  # key in code and tables
    title: str
    function: Callable[..., float]
    arguments: tuple[str, ...]
    larger_is_closer: bool  # True: a similarity or a prediction of transfer; False: a distance
    range: tuple[float, float]  # lowest and highest value
    why: str  # reason to have it in the library
    reference: str  # key in the bibliography, and arXiv number or DOI
    blind_to: str
    cost: str  # time, in n images, d features, C classes (suffix _s: of the source)
    invariances: frozenset[str] = frozenset()  # of "rotation", "scale" (one factor), "shift" of all features
    is_symmetric: bool = False  # whether source and target may be exchanged
    optional: tuple[str, ...] = ()
    is_random: bool = False  # then `function` takes `seed`
    takes_findings: bool = False  # whether `labels` may be findings, of which an image may have several

    @property
    def uses_labels(self) -> bool:
        """Whether it needs the classes of the target's images; Task2Vec's probe is fitted to them."""
        return "labels" in self.arguments or "fisher" in self.arguments

    def missing(self, inputs: Inputs) -> list[str]:
        """Return the fields that it needs and `inputs` lacks."""
        return [name for name in self.arguments if getattr(inputs, name) is None]

    def compute(self, inputs: Inputs, seed: int = 0) -> float:
        """Return the value of the measure; InputError if a needed field is missing or invalid, or the value is not finite."""
        if np.ndim(inputs.labels) == 2 and "labels" in self.arguments and not self.takes_findings:
            said = "compares classes that exclude each other; these images may have several findings"
            raise InputError(f"{self.title} ({self.name}) {said}.")
        if missing := self.missing(inputs):
            said = f"needs {', '.join(self.arguments)}; missing: {', '.join(missing)}"
            raise InputError(f"{self.title} ({self.name}) {said}. Pass them in Inputs, or leave the measure out.")
        given = {name: getattr(inputs, name) for name in self.optional if getattr(inputs, name) is not None}
        seeded = {"seed": seed} if self.is_random else {}
        value = float(self.function(*(getattr(inputs, name) for name in self.arguments), **given, **seeded))
        if not math.isfinite(value):
            raise InputError(f"{self.title} ({self.name}) of these inputs is {value}, which is no value. Leave it out.")
        return value


def attempt(function: Callable[..., Any], *given: Any) -> tuple[Any, str]:
    """Return the result and "", or None and the problem if it is one of `FAILURES`."""
    try:
        return function(*given), ""
    except FAILURES as error:
        kind, text = "" if isinstance(error, InputError) else type(error).__name__, " ".join(str(error).split())
        return None, ": ".join(filter(None, (kind, text)))
