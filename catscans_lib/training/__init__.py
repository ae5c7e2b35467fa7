"""Training one network: batches, loop, checkpoints, learning curves.

In: a model, images, labels, settings. Out: a trained model and its history.
The same on every backend of Keras that the project supports.
"""
