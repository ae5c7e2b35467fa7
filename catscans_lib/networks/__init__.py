"""Networks: which there are, how they are built, loaded and used frozen.

In: a backbone name or a weights file. Out: Keras models and features of images.
Keras is imported only inside functions.
"""
