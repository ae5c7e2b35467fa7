"""One module per family of measures; each ends with the records in `MEASURES`.

In: plain arrays. Out: one number per measure.
All are registered in `similarity.registry`.
"""
