"""Evaluate sources: AUCs, transfer scores, intervals, comparisons of sources, stability of training.

In: saved predictions and learning curves of all transfer runs. Out: tidy tables.
`user_predictions` evaluates a CSV from elsewhere; `reanalysis` serves the notebook of that name.
"""
