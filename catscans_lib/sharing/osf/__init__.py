"""A profile's finished runs on the Open Science Framework (osf.io).

In: a folder of results, an OSF project. Out: one zip per finished run and one manifest on OSF; whole runs in the folder.
A zip is named by its run id and content, so a changed run never replaces another; the manifest lists all versions.
"""
