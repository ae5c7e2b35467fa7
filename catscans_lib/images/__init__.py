"""Image files become an image store: decoding, checks, duplicates, folds.

In: listings of image files. Out: HDF5 stores of uint8 RGB images, fold tables, reports on problems.
Images are read and never changed.
"""
