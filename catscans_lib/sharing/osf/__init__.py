"""A profile's finished runs on the Open Science Framework (osf.io).

In: a folder of results, an OSF project. Out: one zip per finished run on OSF; whole runs in the folder.
The name of a zip says run, time and content, so a changed run never replaces another, and no list of them is needed.
"""
