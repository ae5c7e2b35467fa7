"""Trains one network: batches, optimiser, fit loop, checkpoints, learning curves.

In: a Keras model, images and labels as arrays, validated settings. Out: the trained model and its learning curves.
Runs on Keras's TensorFlow and JAX backends.
"""
