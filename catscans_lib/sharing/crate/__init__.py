"""A finished profile as one file to cite and pass on: an RO-Crate.

In: the results, settings, code and built book of a profile. Out: a zip (`export`), and its results back on another machine
(`restore`). `metadata` describes the crate and its datasets.
"""
