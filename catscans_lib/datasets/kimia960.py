"""KimiaPath960 as downloaded: ``kimia_path_960/*.tif``; the first letter of a file name is its class."""

from pathlib import Path

from catscans_lib.datasets.cards import DatasetInfo
from catscans_lib.datasets.layouts import from_names, native_dir
from catscans_lib.images.listing import Listing

CLASSES = tuple("ABCDEFGHIJKLMNOPQRST")


def read(data_dir: Path) -> Listing:
    """List the images. No groups, no split."""
    folder = native_dir(data_dir, "kimia_path_960", "KimiaPath960")
    return from_names(folder, data_dir, CLASSES, r"([A-T])(?![A-Z]).*", "<one letter, A to T><number>")


CARD = DatasetInfo(
    name="kimia960",
    title="KimiaPath960",
    modality="histopathology of several tissues, 308 x 168 px patches",
    classes=CLASSES,
    n_images=960,
    n_per_class=dict.fromkeys(CLASSES, 48),
    group=None,  # each class is one slide, so no fold can hold out slides of a class
    licence="none stated; made available for research",
    url="https://kimialab.uwaterloo.ca/kimia/index.php/pathology-images-kimia-path960/",
    citation="kumar2017",
    read=read,
    by_hand="""Fill in the form on the home page; the address of the archive comes by mail.
Unpack it so that the 960 .tif files lie in DATA/kimia_path_960.""",
)
