"""Published results, re-examined: the original study's AUCs and distances, and the scores of a later study.

In: a folder with the published tables (`REFERENCE`). Out: tidy tables in the layout of our own results.
No network is run and no image is read.
"""
