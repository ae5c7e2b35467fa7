"""From saved predictions to AUCs, transfer scores, their intervals and comparisons.

In: predictions of image classes, with folds and seeds. Out: tidy tables.
No network is run and no image is read.
"""
