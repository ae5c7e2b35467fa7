"""The grid of runs that `params/<profile>.yaml` declares.

In: the YAML file and `--set` overrides. Out: validated runs, each with its parameters and the runs it needs.
Nothing is executed here.
"""
