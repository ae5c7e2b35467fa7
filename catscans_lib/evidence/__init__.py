"""Published results, re-examined: the original study's AUCs and distances, and the scores of a later study.

In: a folder with the published tables (`REFERENCE`). Out: the same tidy tables as for results of our own.
Nothing here is computed from images.
"""
