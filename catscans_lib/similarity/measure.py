"""What a measure of similarity is: a function, what it needs, and what its number means; and what it is computed from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError


@dataclass(frozen=True)
class Inputs:
    """What is known of a source and a target; a measure takes the parts it needs, the rest may stay None.

    Attributes
    ----------
    features : array_like of float, shape (n_images, n_features)
        Of the target's images: by the source's network where the question is how well it suits the target, by one and the
        same network as `source_features` where two sets of images are compared.
    labels : array_like of int, shape (n_images,)
        Classes of the target's images, 0 to n_classes - 1, each with an image.
    groups : array_like, shape (n_images,)
        Patient, lesion or slide of the target's images.
    source_head : array_like of float, shape (n_images, n_source_classes)
        Probabilities that the source's network, with its own head, gives the target's images.
    reference_features : array_like of float, shape (n_images, n_reference_features)
        Of the same images of the target, by another network, such as one trained on the target.
    source_features, source_labels, source_groups : array_like
        As above, of the source's images, which may differ in number.
    images, source_images : numpy.ndarray of uint8, shape (n_images, height, width, 3)
    fisher, source_fisher : array_like of float, shape (n_filters,)
        Diagonal of the Fisher information of one probe network fitted to each: its Task2Vec embedding.
    head_fisher, source_head_fisher : array_like of float, shape (n_features,)
        The same of the fitted head alone, mean over classes.
    meta_features, source_meta_features : pandas.Series
        Meta-features of each, as `meta_features.describe` gives them.
    meta_scale : pandas.Series
        Standard deviation of every meta-feature over all datasets that are compared.
    answers, source_answers : pandas.DataFrame
        What raters said of each: columns rater, question, answer.
    """

    features: np.ndarray | None = None
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None
    source_head: np.ndarray | None = None
    reference_features: np.ndarray | None = None
    source_features: np.ndarray | None = None
    source_labels: np.ndarray | None = None
    source_groups: np.ndarray | None = None
    images: np.ndarray | None = None
    source_images: np.ndarray | None = None
    fisher: np.ndarray | None = None
    source_fisher: np.ndarray | None = None
    head_fisher: np.ndarray | None = None
    source_head_fisher: np.ndarray | None = None
    meta_features: pd.Series | None = None
    source_meta_features: pd.Series | None = None
    meta_scale: pd.Series | None = None
    answers: pd.DataFrame | None = None
    source_answers: pd.DataFrame | None = None


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes
    ----------
    name, title : str
        Key in code and tables; printed name.
    function : callable
        Works on plain arrays; gets `arguments` in order, then `optional` and `settings` by keyword.
    arguments : tuple of str
        Fields of `Inputs` that it needs.
    larger_is_closer : bool
        True: a similarity, or a promise of good transfer. False: a distance.
    range : tuple of float
        Lowest and highest value it can take.
    cost : str
        Time, in n images, d features, C classes (s marks the source's).
    reference : str
        Key in the bibliography, and arXiv number or DOI.
    blind_to : str
        What it cannot see, for whoever reads its number.
    invariances : frozenset of str
        What may be done to all features without changing the value: "rotation", "scale" (one factor), "shift".
    is_symmetric : bool
        Whether source and target (or the two representations) may change places.
    optional : tuple of str
        Fields of `Inputs` that it uses where they are given.
    settings : mapping
        Further keyword arguments, the same in every call.
    is_random : bool
        Whether it draws random numbers; `function` then takes `seed`.
    """

    name: str
    title: str
    function: Callable[..., float]
    arguments: tuple[str, ...]
    larger_is_closer: bool
    range: tuple[float, float]
    cost: str
    reference: str
    blind_to: str
    invariances: frozenset[str] = frozenset()
    is_symmetric: bool = False
    optional: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_random: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """Fields of `Inputs` without which it cannot be computed."""
        return frozenset(self.arguments)

    def compute(self, inputs: Inputs, seed: int = 0) -> float:
        """Return the value of the measure.

        Raises
        ------
        InputError
            If something it needs is not given, or is not as it should be (see `checks`).
        """
        missing = [name for name in self.arguments if getattr(inputs, name) is None]
        if missing:
            raise InputError(
                f"{self.title} ({self.name}) needs {', '.join(self.arguments)}; not given: {', '.join(missing)}. "
                "Pass them in Inputs, or leave the measure out."
            )
        given = {name: getattr(inputs, name) for name in self.optional if getattr(inputs, name) is not None}
        seeded = {"seed": seed} if self.is_random else {}
        return float(
            self.function(*(getattr(inputs, name) for name in self.arguments), **given, **self.settings, **seeded)
        )
