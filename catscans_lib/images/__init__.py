"""From image files to an image store: listing, decoding, checks, duplicates, folds.

In: image files and their labels. Out: HDF5 stores of uint8 RGB images, fold tables, tables of problems.
Image files are read and never changed.
"""
