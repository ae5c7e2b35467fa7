"""KimiaPath960 as downloaded: ``kimia_path_960/*.tif``, where the leading letter of a file name is its class."""

import re
from pathlib import Path

from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.images.listing import (
    Listing,
    Problem,
    Row,
    image_names,
    make_listing,
    native_dir,
    stem,
)

CLASSES = tuple("ABCDEFGHIJKLMNOPQRST")


def read(data_dir: Path) -> Listing:
    """List the images; a file name that begins with none of the twenty letters is reported. No groups, no split."""
    folder = native_dir(data_dir, "kimia_path_960", "KimiaPath960")
    below = folder.relative_to(data_dir).as_posix()
    problems: list[Problem] = []
    rows = []
    for name in image_names(folder, below, problems):
        letters = re.match(r"[A-Za-z]*", name)[0].upper()
        if letters in CLASSES:
            rows.append(Row(stem(name), f"{below}/{name}", letters, stem(name), ""))
        else:
            problems.append(
                Problem(f"{below}/{name}", f"begins with '{letters}', known are the letters A to T; left out")
            )
    return make_listing(rows, problems, folder, root=data_dir, classes=CLASSES)


CARD = DatasetInfo(
    name="kimia960",
    title="KimiaPath960",
    modality="histopathology of several tissues, 308 x 168 px patches",
    classes=CLASSES,
    n_images=960,
    n_per_class=dict.fromkeys(CLASSES, 48),
    group=None,  # each class is one slide, so slides cannot be kept apart from classes
    licence="none stated; made available for research",
    url="https://kimialab.uwaterloo.ca/kimia/index.php/pathology-images-kimia-path960/",
    citation="kumar2017",
    read=read,
    by_hand="""Fill in the form on the home page; the address of the archive comes by mail.
Unpack it so that the 960 .tif files lie in DATA/kimia_path_960.""",
)
