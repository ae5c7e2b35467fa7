"""Cats or CAT scans: which source dataset to pretrain on for a medical target."""

import os

# Keras reads both when it is first imported. Its settings are the project's; the user's ~/.keras/keras.json does not count.
_OWN = "catscans.settings"
_folder = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")  # noqa: PTH111, PTH118
if not _folder.endswith(_OWN):
    os.environ["KERAS_HOME"] = os.path.join(_folder, _OWN)  # noqa: PTH118
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")  # some file systems have no locks, and no file is shared
