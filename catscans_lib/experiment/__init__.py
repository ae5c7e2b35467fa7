"""The protocol of the study: pretraining on a source, transfer to a target.

In: image stores, fold tables, validated settings. Out: networks, histories, predictions.
Called by the notebooks `pretrain` and `transfer`.
"""
