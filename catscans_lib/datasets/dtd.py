"""Describable Textures Dataset as downloaded: ``dtd/images/<class>/*.jpg`` and ``dtd/labels/{train,val,test}1.txt``."""

from pathlib import Path

from catscans_lib.datasets.listing import Listing, Problem, Row, class_images, make_listing, native_dir, stem


def read(data_dir: Path) -> Listing:
    """List the images of every class folder, with the first of the ten official splits where its files are there."""
    folder = native_dir(data_dir, "dtd/images")
    splits = _splits(folder.parent / "labels")
    problems: list[Problem] = []
    rows = []
    for label, path in class_images(folder, data_dir, problems):
        image_id = f"{label}/{stem(path)}"
        rows.append(Row(image_id, path, label, image_id, splits.pop(image_id, "")))
    below = folder.relative_to(data_dir).as_posix()
    problems += [Problem(f"{below}/{left}.jpg", "in an official split, but there is no such file") for left in splits]
    return make_listing(rows, problems, folder)


def _splits(folder: Path) -> dict[str, str]:
    """Split of every image (class/name) that the files of split 1 list; the other nine mix the same images anew."""
    found = {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}1.txt"
        if path.is_file():
            names = (line.strip() for line in path.read_text().splitlines())
            found |= {name.rsplit(".", 1)[0]: split for name in names if name}
    return found
