"""Advice on which source to start from, for images of a user.

In: a folder, CSV or .npz of images and the results of a finished profile. Out: a ranking with intervals.
Nothing is trained.
"""
