"""Statistical methods: metrics of predictions, intervals, paired tests, rank agreement.

In: NumPy arrays of labels, scores, differences or draws. Out: numbers, NumPy arrays and named tuples.
Knows no tables, files, networks, sources or targets.
"""
