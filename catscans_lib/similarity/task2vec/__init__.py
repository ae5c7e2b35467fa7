"""Task2Vec: a dataset as the diagonal of the Fisher information of a probe network.

In: a network, images, features and labels. Out: an embedding, shape (n_filters,), and distances of embeddings.
Reference: Achille et al. (2019), arXiv:1902.03545.
"""
