"""Moving results between machines and people: downloads, OSF, RO-Crate.

In: URLs, archives, finished results. Out: files on disk, on OSF or in one crate.
Every transfer checks sizes and checksums; every archive is checked before extraction.
"""
