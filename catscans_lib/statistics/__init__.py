"""Statistical methods on plain arrays: AUC, intervals, paired tests, rank correlation.

In: NumPy arrays. Out: NumPy arrays and named tuples.
No files, no networks, no knowledge of sources and targets.
"""
