"""Measures of how similar two datasets are, and of how well a network suits one: each a function, a record, and a name."""

from catscans_lib.similarity.measure import Inputs, Measure
from catscans_lib.similarity.registry import MEASURES, computable, compute, get, known

__all__ = ["MEASURES", "Inputs", "Measure", "computable", "compute", "get", "known"]
