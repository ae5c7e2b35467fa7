"""The record that describes a measure, and the inputs that measures are computed from."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from catscans_lib.errors import InputError


@dataclass(frozen=True)
class Inputs:
    """What is known of a source and a target. A measure reads the fields it needs; the others may stay None.

    Attributes
    ----------
    features : array_like of float, shape (n_images, n_features)
        Of the target's images. Computed by the source's network for measures of how well it suits the target; by the same
        network as `source_features` for measures that compare two sets of images.
    labels : array_like of int, shape (n_images,)
        Classes of the target's images, 0 to n_classes - 1, each with an image; or their findings, bool (n_images, n_findings).
    groups : array_like, shape (n_images,)
        Patient, lesion or slide of the target's images.
    source_head : array_like of float, shape (n_images, n_source_classes)
        Source-class probabilities of the target's images, by the source's network with its own head.
    source_features : array_like of float, shape (n_source_images, n_features)
        Of the source's images, which may differ in number.
    fisher, source_fisher : array_like of float, shape (n_filters,)
        Task2Vec embeddings: diagonal of the Fisher information of one probe network fitted to each dataset.
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
    def needs(self) -> frozenset[str]:
        """Fields of `Inputs` without which it cannot be computed."""
        return frozenset(self.arguments)

    @property
    def uses_labels(self) -> bool:
        """Whether it needs the classes of the target's images; Task2Vec's probe is fitted to them."""
        return not self.needs.isdisjoint({"labels", "fisher"})

    def compute(self, inputs: Inputs, seed: int = 0) -> float:
        """Return the value of the measure; InputError if a needed field is missing or invalid, or the value is not finite."""
        if np.ndim(inputs.labels) == 2 and "labels" in self.arguments and not self.takes_findings:
            raise InputError(
                f"{self.title} ({self.name}) compares classes that exclude each other; these images may have several findings."
            )
        missing = [name for name in self.arguments if getattr(inputs, name) is None]
        if missing:
            raise InputError(
                f"{self.title} ({self.name}) needs {', '.join(self.arguments)}; missing: {', '.join(missing)}. "
                "Pass them in Inputs, or leave the measure out."
            )
        given = {name: getattr(inputs, name) for name in self.optional if getattr(inputs, name) is not None}
        seeded = {"seed": seed} if self.is_random else {}
        value = float(self.function(*(getattr(inputs, name) for name in self.arguments), **given, **seeded))
        if not math.isfinite(value):
            raise InputError(f"{self.title} ({self.name}) of these inputs is {value}, which is no value. Leave it out.")
        return value
