"""Medical datasets that are downloaded as one folder per class: radiology, and cells with malaria parasites."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from catscans_lib.datasets import layouts
from catscans_lib.datasets.cards import DatasetInfo, Download
from catscans_lib.images.listing import Listing

KAGGLE = "Log in at https://www.kaggle.com.\n"
# Functions from a file name to its group: what is before the number of a cell, a figure, a page of a PDF, a day, a projection.
PATIENT_OF_CELL = layouts.group_by_pattern(r"(C\d+)\D.*")
BEFORE_PAGE = layouts.group_by_pattern(r"(.+?)(?:-p\d+[-_].*)?(?:%\d+)?")  # matches every name
FIGURE = r"-fx\d|-gr\d|-main\b|\.pdf|[-_.][Ff]ig|_f\d|-day\d|-PA|-g\d"
PATIENT_OF_XRAY = layouts.group_by_pattern(rf"(.+?)(?:(?<=^\d{{8}})_\d{{3}}|(?<=case\d)[a-z]|(?:{FIGURE}).*)?")


def read(
    data_dir: Path, places: tuple[str, ...], classes: tuple[str, ...], group: Callable[[str], str | None] | None = None
) -> Listing:
    """List the images in the class folders of the first of `places` that exists; `group` is as in `layouts.from_folder`.

    Without `group`, near duplicates form a group.
    """
    listing = layouts.from_folder(layouts.native_dir(data_dir, *places), data_dir, classes=classes, group=group)
    return replace(listing, joins_near_duplicates=group is None)


def paper_of_ct(name: str) -> str:
    """Return the paper that a slice was cut out of, or the number of a case without COVID."""
    paper = BEFORE_PAGE(name)
    return f"case {paper}" if paper.isdigit() else paper


CELL_CLASSES = ("Parasitized", "Uninfected")
MALARIA = DatasetInfo(
    name="malaria",
    title="Malaria cells",
    modality="single cells of stained blood smears",
    classes=CELL_CLASSES,
    n_per_class=dict.fromkeys(CELL_CLASSES, 13_779),
    group="patient",  # from the file name
    licence="none stated; published for research by the US National Library of Medicine",
    url="https://lhncbc.nlm.nih.gov/LHC-research/LHC-projects/image-processing/malaria-datasheet.html",
    citation="rajaraman2018",
    caveat="Only infected patients have cells of both classes; the healthy ones have cells of one class.",
    read=partial(read, places=("cell_images",), classes=CELL_CLASSES, group=PATIENT_OF_CELL),
    files=("cell_images",),
    downloads=(Download("https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip", unpack=True),),
)
BREAST_CLASSES = ("benign", "malignant", "normal")
BREAST = DatasetInfo(
    name="breast_ultrasound",
    title="Breast ultrasound (BUSI)",
    modality="ultrasound of the breast",
    classes=BREAST_CLASSES,
    n_per_class=dict(zip(BREAST_CLASSES, (437, 210, 133), strict=True)),
    group="near duplicates",  # the patient is not published
    licence="none stated; free for research with citation",
    url="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
    citation="aldhabyani2020",
    caveat="Letters, callipers and Doppler marks are burnt in, more often in some classes than in others. The 780 images are of "
    "about 600 patients who are not named, and some images are copies, a few of them with two labels.",
    read=partial(read, places=("Dataset_BUSI_with_GT",), classes=BREAST_CLASSES),
    files=("Dataset_BUSI_with_GT",),
    by_hand="Download Dataset_BUSI.zip from its page and unpack it to DATA/Dataset_BUSI_with_GT/<class>/*.png.",
)
TUMOUR = ("no", "yes")
BRAIN = DatasetInfo(
    name="brain_mri",
    title="Brain MRI (tumour or none)",
    modality="MRI slices of the brain",
    classes=TUMOUR,
    n_per_class=dict(zip(TUMOUR, (98, 155), strict=True)),
    group="near duplicates",  # the patient is not published
    licence="none stated (Kaggle: data files © original authors)",
    url="https://www.kaggle.com/datasets/navoneel/brain-mri-images-for-brain-tumor-detection",
    citation="chakrabarty2019",
    caveat="Collected from the web: sequence, lettering and shape differ from image to image. In our sample, the median of width "
    "over height is 1.00 without and 0.85 with a tumour, which still shows in squares. Several images are copies.",
    read=partial(read, places=("brain_tumor_dataset",), classes=TUMOUR),
    files=("brain_tumor_dataset",),
    by_hand=KAGGLE + "Unpack the dataset of its page to DATA/brain_tumor_dataset/{yes,no}/*.jpg.",
)
TUMOUR_TYPES = ("glioma", "meningioma", "notumor", "pituitary")
BRAIN_TYPES = DatasetInfo(
    name="brain_tumours",
    title="Brain MRI (type of tumour)",
    modality="MRI slices of the brain",
    classes=TUMOUR_TYPES,
    n_per_class=dict(zip(TUMOUR_TYPES, (1_621, 1_645, 2_000, 1_757), strict=True)),
    group="near duplicates",  # the patient is not published
    licence="CC0 1.0 as stated on Kaggle; parts are from Figshare (CC BY 4.0), SARTAJ and Br35H",
    url="https://www.kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset",
    citation="nickparvar2021",
    caveat="Brains without a tumour come from another collection than those with one. Neighbouring slices of a patient, who is "
    "not named, may be in different folds.",
    read=partial(read, places=("brain_tumor_mri", "brain-tumor-mri-dataset"), classes=TUMOUR_TYPES),
    files=("brain_tumor_mri", "brain-tumor-mri-dataset"),
    by_hand=KAGGLE + "Unpack version 1 of the dataset to DATA/brain_tumor_mri/{Training,Testing}/<class>/*.jpg.",
)
CT_CLASSES = ("CT_COVID", "CT_NonCOVID")
COVID_CT = DatasetInfo(
    name="covid_ct",
    title="COVID-CT",
    modality="CT slices of the chest",
    classes=CT_CLASSES,
    n_per_class=dict(zip(CT_CLASSES, (349, 397), strict=True)),
    group="paper or case",  # from the file name
    licence="none stated; figures of preprints and images of other collections",
    url="https://github.com/UCSD-AI4H/COVID-CT",
    citation="yang2020",
    caveat="Slices with COVID are figures cut out of preprints; the others come from other collections, so the classes differ in "
    "source. Some copies of the dataset, among them the project's sample, are cropped to the lungs.",
    read=partial(read, places=("COVID-CT/Images-processed", "COVID-CT"), classes=CT_CLASSES, group=paper_of_ct),
    files=("COVID-CT",),
    by_hand="Unpack both archives of the folder Images-processed of its repository to DATA/COVID-CT/<class>.",
)
XRAY_CLASSES = ("Covid-19", "No_findings", "Pneumonia")
COVID_XRAY = DatasetInfo(
    name="covid_xray",
    title="COVID-19 X-rays",
    modality="chest X-rays",
    classes=XRAY_CLASSES,
    n_per_class=dict(zip(XRAY_CLASSES, (125, 500, 500), strict=True)),
    group="patient, paper or case",  # from the file name
    licence="COVID: by image, mostly CC BY-NC-SA 4.0; others: NIH ChestX-ray14, no restrictions, acknowledge NIH",
    url="https://github.com/muhammedtalo/COVID-19",
    citation="ozturk2020",
    caveat="X-rays with COVID come from papers and websites, the others from one hospital (NIH). A network can tell them apart "
    "by their look alone.",
    read=partial(read, places=("covid_xray", "X-Ray Image DataSet"), classes=XRAY_CLASSES, group=PATIENT_OF_XRAY),
    files=("covid_xray", "X-Ray Image DataSet"),
    by_hand="Save the folder 'X-Ray Image DataSet' of its repository as DATA/covid_xray, with a folder per class.",
)
CARDS = (MALARIA, BREAST, BRAIN, BRAIN_TYPES, COVID_CT, COVID_XRAY)
