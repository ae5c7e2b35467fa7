"""Kermany's chest X-rays as downloaded: ``chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg``."""

import re
from pathlib import Path

from catscans_lib.datasets import layouts
from catscans_lib.datasets.cards import DatasetInfo, Download
from catscans_lib.images.listing import Listing

CLASSES = ("NORMAL", "PNEUMONIA")
SPLITS = ("train", "val", "test")
# person134_bacteria_643 -> person134; IM-0755-0001 and IM-0660-0001-0001 -> IM-0755, IM-0660; NORMAL2-IM-1096-0001;
# version 3: BACTERIA-1008087-0001 -> 1008087
PATIENT = re.compile(
    r"(person\d+)_(?:bacteria|virus)_.*|((?:NORMAL2-)?IM-\d+)-\d+.*|(?:BACTERIA|VIRUS|NORMAL)-(\d+)-\d+"
)


def read(data_dir: Path) -> Listing:
    """List the images of all splits, grouped by the patient in the file name; images without one are left out."""
    folder = layouts.native_dir(data_dir, "chest_xray")
    splits = {split: split for split in SPLITS if (folder / split).is_dir()}  # the first published archive has no val
    return layouts.from_folder(folder, data_dir, classes=CLASSES, splits=splits, group=patient)


def patient(name: str) -> str | None:
    """Return the patient part of a file name without suffix, or None.

    >>> patient("NORMAL2-IM-1096-0001")
    'NORMAL2-IM-1096'
    """
    match = PATIENT.fullmatch(name)
    return match and next(filter(None, match.groups()))


CARD = DatasetInfo(
    name="chest",
    title="Chest X-rays",
    modality="chest X-rays of children",
    classes=CLASSES,
    n_per_class={"NORMAL": 1_583, "PNEUMONIA": 4_273},
    group="patient",  # from the file name; person<N> may join two patients but never splits one
    licence="CC BY 4.0",
    url="https://data.mendeley.com/datasets/rscbjbr9sj",
    citation="kermany2018",
    read=read,
    files=("chest_xray",),
    downloads=(
        Download(  # version 2, without the archive of retinas; its size is published, a checksum is not
            "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
            n_bytes=1_235_512_464,
            unpack=True,
            name="ChestXRay2017.zip",
        ),
    ),
)
