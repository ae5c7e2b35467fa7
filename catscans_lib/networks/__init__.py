"""Networks: builds a backbone by name, loads weights into it, extracts features with it.

In: a backbone name, a weights file, images as arrays. Out: Keras models and feature arrays.
`registry` knows the names without importing Keras.
"""
