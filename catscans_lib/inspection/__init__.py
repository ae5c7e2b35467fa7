"""What networks have learnt: feature maps, filters, Grad-CAM, similarity of layers, before and after fine-tuning.

In: saved networks of finished runs, and images. Out: arrays and tidy tables for figures. Trains nothing.
The notebook `feature_maps` calls it.
"""
