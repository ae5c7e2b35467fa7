"""Moving results between machines and people: downloads, RO-Crate.

In: URLs, archives, finished results. Out: files on disk or in one crate.
Every transfer checks sizes and checksums; every archive is checked before extraction.
"""
