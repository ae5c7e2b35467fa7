"""The study's protocol: pretrains a network on a source, then transfers it to a target fold by fold.

In: image stores, fold tables, validated settings. Out: networks, learning curves, predictions of held-out images.
The notebooks `pretrain` and `transfer` call it.
"""
