"""What networks see: feature maps, filters, Grad-CAM, similarity of layers.

In: saved networks and images. Out: arrays and tidy tables for figures.
Nothing is trained.
"""
