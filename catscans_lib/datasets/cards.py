"""The nine datasets of the study: what each is, whose it is, and how it is read.

Counts are those of the complete dataset as published or as used in the study, not of what lies on a disk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from catscans_lib.datasets import chest, dtd, imagenet, isic2018, kimia960, pcam, sti10, stl10
from catscans_lib.datasets.listing import Listing
from catscans_lib.errors import unknown


@dataclass(frozen=True)
class DatasetInfo:
    """Card of one dataset.

    Attributes
    ----------
    name, title, modality : str
        Key in code and file names; printed name; what kind of picture.
    classes : tuple of str
        Class names in their fixed order; empty where the folder names are the classes.
    n_images : int
        Images in the complete dataset.
    group : str or None
        Unit whose images must share a fold; None where the dataset does not record one.
    licence, url, citation : str
        Terms of use, home page, key in ``book/references.bib``.
    read : callable
        ``read(data_dir) -> Listing`` for the native layout.
    """

    name: str
    title: str
    modality: str
    classes: tuple[str, ...]
    n_images: int
    group: str | None
    licence: str
    url: str
    citation: str
    read: Callable[[Path], Listing]


_IMAGENET_TERMS = "ImageNet terms: non-commercial research and education"
_PCAM = {
    "modality": "H&E histopathology of lymph nodes, 96 px patches",
    "classes": pcam.CLASSES,  # published as 0 and 1: a tumour pixel in the centre 32 x 32
    "group": "slide",  # column wsi of the published meta files
    "licence": "CC0 1.0",
    "url": "https://github.com/basveeling/pcam",
    "citation": "veeling2018",
}

_CARDS = (
    DatasetInfo(
        name="imagenet",
        title="ImageNet",
        modality="natural images of objects",
        classes=(),  # 1,000 WordNet ids in the complete set
        n_images=1_281_167,  # ILSVRC 2012 training images
        group=None,
        licence=_IMAGENET_TERMS,
        url="https://www.image-net.org",
        citation="russakovsky2015",
        read=imagenet.read,
    ),
    DatasetInfo(
        name="stl10",
        title="STL-10",
        modality="natural images of objects, 96 px",
        classes=stl10.CLASSES,
        n_images=13_000,  # 5,000 training and 8,000 test; the 100,000 without a label are not used
        group=None,
        licence=f"none stated; the images come from ImageNet ({_IMAGENET_TERMS})",
        url="https://cs.stanford.edu/~acoates/stl10/",
        citation="coates2011",
        read=stl10.read,
    ),
    DatasetInfo(
        name="sti10",
        title="STI-10",
        modality="natural images of textures and materials",
        classes=sti10.CLASSES,  # the study's own choice; the image addresses it used are gone
        n_images=8_060,  # as noted in the study's loader
        group=None,
        licence=_IMAGENET_TERMS,
        url="https://github.com/vcheplygina/cats-scans",
        citation="vandenbrandt2021",
        read=sti10.read,
    ),
    DatasetInfo(
        name="dtd",
        title="Describable Textures (DTD)",
        modality="natural images of textures",
        classes=(),  # 47 texture words in the complete set, 120 images each
        n_images=5_640,
        group=None,
        licence="available for research; no standard licence",
        url="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        citation="cimpoi2014",
        read=dtd.read,
    ),
    DatasetInfo(
        name="isic2018",
        title="ISIC 2018",
        modality="dermoscopy of skin lesions",
        classes=isic2018.CLASSES,
        n_images=10_015,  # task 3 training images (HAM10000), of 7,470 lesions
        group="lesion",
        licence="CC BY-NC 4.0",
        url="https://challenge.isic-archive.com/data/#2018",
        citation="codella2019",
        read=isic2018.read,
    ),
    DatasetInfo(
        name="chest",
        title="Chest X-rays",
        modality="chest X-rays of children",
        classes=chest.CLASSES,
        n_images=5_856,
        group="patient",  # from the file name; person<N> may join two patients, never split one
        licence="CC BY 4.0",
        url="https://data.mendeley.com/datasets/rscbjbr9sj",
        citation="kermany2018",
        read=chest.read,
    ),
    DatasetInfo(name="pcam_middle", title="PCam-middle", n_images=pcam.N_MIDDLE, read=pcam.read_middle, **_PCAM),
    DatasetInfo(name="pcam_small", title="PCam-small", n_images=pcam.N_SMALL, read=pcam.read_small, **_PCAM),
    DatasetInfo(
        name="kimia960",
        title="KimiaPath960",
        modality="histopathology of several tissues, 308 x 168 px patches",
        classes=kimia960.CLASSES,
        n_images=960,
        group=None,  # each class is one slide, so slides cannot be kept apart from classes
        licence="none stated; made available for research",
        url="https://kimialab.uwaterloo.ca/kimia/index.php/pathology-images-kimia-path960/",
        citation="kumar2017",
        read=kimia960.read,
    ),
)
_BY_NAME = {card.name: card for card in _CARDS}


def known() -> tuple[str, ...]:
    """Return the dataset keys in the order of the study's tables."""
    return tuple(_BY_NAME)


def get(name: str) -> DatasetInfo:
    """Return the card of a dataset; InputError when the key is not known."""
    if name not in _BY_NAME:
        raise unknown("dataset", name, known())
    return _BY_NAME[name]
