"""Measures of how similar two datasets are, and of how well a network's features suit a target.

In: arrays of features, labels, images or embeddings, as `Inputs`. Out: one number per measure.
`registry` lists every measure with the reason why it is there; `measures` holds one module per family.
"""
