"""One module per family of similarity measures.

In: features, labels and images of two datasets. Out: one number per measure.
All are registered in `similarity.registry`.
"""
