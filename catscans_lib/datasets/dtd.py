"""Describable Textures Dataset as downloaded: ``dtd/images/<class>/*.jpg``."""

from pathlib import Path

from catscans_lib.datasets.listing import Listing, Problem, Row, class_images, make_listing, native_dir, stem


def read(data_dir: Path) -> Listing:
    """List the images of every class folder. No groups, and no split: the ten official ones overlap."""
    folder = native_dir(data_dir, "dtd/images")
    problems: list[Problem] = []
    rows = []
    for label, path in class_images(folder, data_dir, problems):
        image_id = f"{label}/{stem(path)}"
        rows.append(Row(image_id, path, label, image_id, ""))
    return make_listing(rows, problems, folder)
