"""A finished profile as one file to cite and pass on: an RO-Crate, written by `catscans export`, read by `catscans import`."""
