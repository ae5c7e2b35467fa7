"""PatchCamelyon and its two parts.

In: the published HDF5 files, or PNG patches. Out: cards and listings.
Also converts the HDF5 files to PNG.
"""
