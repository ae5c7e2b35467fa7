"""A sweep: many runs of a grid, executed by Snakemake here or on a cluster.

In: a profile and a selection of its runs. Out: finished runs, a plan with expected costs, a report on failures.
Finished runs that are up to date are kept.
"""
