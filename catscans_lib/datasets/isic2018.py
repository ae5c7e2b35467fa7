"""ISIC 2018 task 3 (HAM10000) as downloaded: a folder of JPEGs, a one-hot ground truth and a table of lesions.

``[ISIC2018/]ISIC2018_Task3_Training_Input/*.jpg``, ``ISIC2018_Task3_Training_GroundTruth/*GroundTruth.csv``, and the
lesions in ``*LesionGroupings.csv`` or HAM10000's own ``HAM10000_metadata.csv``.
"""

import re
from pathlib import Path

from catscans_lib.datasets.cards import DatasetInfo, Download
from catscans_lib.datasets.layouts import native_dir
from catscans_lib.errors import InputError
from catscans_lib.images.listing import Listing, Problem, Row, image_names, make_listing, stem
from catscans_lib.images.tables import one_hot, read_csv

CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
INPUT = "ISIC2018_Task3_Training_Input"
OTHER_SETS = re.compile("test|validation", re.IGNORECASE)
TABLES = ("*GroundTruth.csv", "*LesionGroupings.csv", "HAM10000_metadata.csv")
FILES = "https://isic-challenge-data.s3.amazonaws.com/2018"


def read(data_dir: Path) -> Listing:
    """List the images with exactly one class and a lesion; other images and rows are reported."""
    folder = native_dir(data_dir, f"ISIC2018/{INPUT}", INPUT)
    below = folder.relative_to(data_dir).as_posix()
    problems: list[Problem] = []
    names = {stem(name): name for name in image_names(folder, below, problems)}
    labels = _labels(folder.parent, below, problems)
    lesions = _lesions(folder.parent)
    rows = []
    for image_id in sorted(names.keys() | labels.keys()):
        path = f"{below}/{names.get(image_id, image_id + '.jpg')}"
        label, lesion = labels.get(image_id), lesions.get(image_id)
        if image_id not in names:
            problems.append(Problem(path, "in the ground truth, but there is no such file"))
        elif image_id not in labels:
            problems.append(Problem(path, "not in the ground truth; left out"))
        elif label and not lesion:
            problems.append(Problem(path, "no lesion_id, so it cannot be kept in one fold; left out"))
        elif label:
            rows.append(Row(image_id, path, label, lesion, ""))
    return make_listing(rows, problems, folder, root=data_dir, classes=CLASSES)


def _labels(root: Path, below: str, problems: list[Problem]) -> dict[str, str | None]:
    """Class of every image in the ground truth; None, and reported, if it does not have exactly one."""
    table = read_csv(_find(root, TABLES[0]), ("image", *CLASSES)).drop_duplicates()
    labels: dict[str, str | None] = {}
    for image_id, label, fault in zip(table["image"], *one_hot(table, CLASSES), strict=True):
        fault = fault or ("two different rows" if image_id in labels else "")
        labels[image_id] = None if fault else label
        if fault:
            problems.append(Problem(f"{below}/{image_id}.jpg", f"ground truth: {fault}; left out"))
    return labels


def _lesions(root: Path) -> dict[str, str]:
    path = _find(root, *TABLES[1:])
    image = "image_id" if path.name == TABLES[2] else "image"
    table = read_csv(path, (image, "lesion_id"))
    return dict(zip(table[image], table["lesion_id"], strict=True))


def _find(root: Path, *patterns: str) -> Path:
    """Return the only file that matches the first pattern with a match, in the root or one folder below.

    Tables of the test and validation images, which have the same form and the same place, are ignored by their names.
    """
    for pattern in patterns:
        paths = [path for path in [*root.glob(pattern), *root.glob(f"*/{pattern}")] if not OTHER_SETS.search(path.name)]
        found = sorted(path.relative_to(root).as_posix() for path in paths)
        if len(found) > 1:
            raise InputError(f"'{root}' holds {' and '.join(found)}; which one describes the images? Keep one of them.")
        if found:
            return root / found[0]
    wanted = " or ".join(patterns)
    raise InputError(
        f"No {wanted} in '{root}' for the training images. Download it from the ISIC 2018 task 3 page and put it there."
    )


CARD = DatasetInfo(
    name="isic2018",
    title="ISIC 2018",
    modality="dermoscopy of skin lesions",
    classes=CLASSES,
    n_images=10_015,  # task 3 training images (HAM10000), of 7,470 lesions
    n_per_class=dict(zip(CLASSES, (1_113, 6_705, 514, 327, 1_099, 115, 142), strict=True)),
    group="lesion",
    licence="CC BY-NC 4.0",
    url="https://challenge.isic-archive.com/data/#2018",
    citation="codella2019",
    part_of="isic",  # the ISIC archive, whose image ids both challenges keep
    read=read,
    files=("ISIC2018", INPUT, *(f"{folder}{table}" for folder in ("", "*/") for table in TABLES)),
    downloads=(  # the publisher gives no checksums
        Download(f"{FILES}/{INPUT}.zip", folder="ISIC2018", unpack=True, n_bytes_unpacked=8 * 10**9),
        Download(f"{FILES}/ISIC2018_Task3_Training_GroundTruth.zip", folder="ISIC2018", unpack=True),
        Download(f"{FILES}/ISIC2018_Task3_Training_LesionGroupings.csv", folder="ISIC2018"),
    ),
)
