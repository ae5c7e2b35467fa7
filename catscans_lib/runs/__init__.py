"""One run: a notebook executed by papermill, with its record.

In: a run of the grid. Out: a folder with the executed notebook, tables, model and `run.json`.
A run is published only when every cell has completed.
"""
