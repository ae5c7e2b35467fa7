"""One run: its notebook is executed by papermill and recorded.

In: a planned run of the grid. Out: a folder with the executed notebook, tables, model and `run.json`.
A run takes its place in the results only when every cell has completed.
"""
