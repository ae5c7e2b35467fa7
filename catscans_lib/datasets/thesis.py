"""The datasets of the preceding thesis: natural images, retinas, skin lesions, blood cells."""

from dataclasses import replace
from pathlib import Path

from catscans_lib.datasets import label_tables, layouts
from catscans_lib.datasets.cards import DatasetInfo, Download
from catscans_lib.datasets.layouts import native_dir
from catscans_lib.errors import InputError
from catscans_lib.images.listing import Listing, Problem, stem
from catscans_lib.images.tables import read_csv

PETS = ("cat", "dog")
NATURAL = ("airplane", "car", "cat", "dog", "flower", "fruit", "motorbike", "person")
GRADES = ("none", "mild", "moderate", "severe", "proliferative")
LESIONS = ("melanoma", "seborrheic_keratosis", "nevus")
CELLS = ("EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL")
ORIGINALS = "original_pictures.csv"
ISIC = "https://isic-challenge-data.s3.amazonaws.com/2017"
KAGGLE = "Log in at https://www.kaggle.com and accept the terms of the page named below.\n"


def read_catdog(data_dir: Path) -> Listing:
    """List ``PetImages/{Cat,Dog}/*.jpg`` (Microsoft's archive) or ``dogs-vs-cats/train/{cat,dog}.*.jpg`` (Kaggle's)."""
    folder = native_dir(data_dir, "PetImages", "dogs-vs-cats/train", "catdog/train", "catdog")
    if folder.name != "PetImages":
        return layouts.from_names(folder, data_dir, PETS, r"(cat|dog)\.\d+", "cat.<number> or dog.<number>")
    listing = layouts.from_folder(folder, data_dir, classes=("Cat", "Dog"))
    images = listing.images.assign(label=listing.images["label"].str.lower())
    return replace(listing, images=images, classes=tuple(label.lower() for label in listing.classes))


def read_natural(data_dir: Path) -> Listing:
    """List ``natural_images/<class>/*.jpg``."""
    folder = native_dir(data_dir, "natural_images", "natural")
    return layouts.from_folder(folder, data_dir, classes=NATURAL)


def read_diabetic_retinopathy(data_dir: Path) -> Listing:
    """List the retinas in ``trainLabels.csv`` (image, level); a patient's eyes, ``10_left`` and ``10_right``, form a group."""
    import pandas as pd

    folder = native_dir(data_dir, "diabetic-retinopathy-detection", "diabetic_retinopathy")
    path = folder / "trainLabels.csv"
    table = read_csv(path, ("image", "level"))
    if unknown := sorted(set(table["level"]) - set("01234")):
        raise InputError(f"'{path}' has the level '{unknown[0]}'; known are 0 to 4. Download it again.")
    below = (folder / "train").relative_to(data_dir).as_posix()
    label, group = table["level"].astype(int).map(dict(enumerate(GRADES))), table["image"].str.rsplit("_", n=1).str[0]
    rows = pd.DataFrame({"path": f"{below}/" + table["image"] + ".jpeg", "label": label, "group": group})
    return label_tables.from_table(rows, data_dir, path, GRADES)


def read_isic2017(data_dir: Path) -> Listing:
    """List ``ISIC-2017_Training_Data/*.jpg`` by the table of part 3; images of neither of its two classes are nevi."""
    import pandas as pd

    name = "ISIC-2017_Training_Data"
    folder = native_dir(data_dir, name, f"ISIC2017/{name}", f"isic2017/{name}")
    path = folder.parent / "ISIC-2017_Training_Part3_GroundTruth.csv"
    table = read_csv(path, ("image_id", *LESIONS[:2]))
    hot = table[list(LESIONS[:2])].apply(pd.to_numeric, errors="coerce").to_numpy()
    below = folder.relative_to(data_dir).as_posix()
    codes = {(1, 0): LESIONS[0], (0, 1): LESIONS[1], (0, 0): LESIONS[2]}
    label = [codes.get(tuple(row), "") for row in hot.tolist()]  # "": reported as without label
    rows = pd.DataFrame({"path": f"{below}/" + table["image_id"] + ".jpg", "label": label})
    listing = label_tables.from_table(rows, data_dir, path, LESIONS)
    ids = listing.images["path"].map(stem)  # of the ISIC archive, as in ISIC 2018
    return replace(listing, images=listing.images.assign(image_id=ids, group=ids))


def read_bloodcell(data_dir: Path) -> Listing:
    """List ``dataset2-master/images/{TRAIN,TEST}/<class>/*.jpeg``; the folder TEST_SIMPLE is left out.

    The group is the original photograph by ``dataset2-master/original_pictures.csv``: columns path (from the folder of the
    table on, ``images/TRAIN/...``) and group. With the table, images without a row in it are left out; without it, every
    image is its own group.
    """
    import pandas as pd

    places = ("dataset2-master/images", "dataset2-master/dataset2-master/images", "bloodcell/dataset2-master/images")
    folder, splits = native_dir(data_dir, *places), {"TRAIN": "train", "TEST": "test"}
    listing = layouts.from_folder(folder, data_dir, classes=CELLS, splits=splits)
    path, below = folder.parent / ORIGINALS, folder.parent.relative_to(data_dir).as_posix()
    if not path.is_file():
        said = Problem(f"{below}/{ORIGINALS}", "no such file, so the original photographs are unknown; only a source")
        return replace(listing, problems=pd.concat([listing.problems, pd.DataFrame([said])], ignore_index=True))
    table = read_csv(path, ("path", "group"), "Its columns are path and group.").drop_duplicates(["path", "group"])
    if len(twice := table.loc[table["path"].duplicated(), "path"]):
        raise InputError(f"'{path}' gives '{twice.iloc[0]}' two groups. Keep one row for each image.")
    groups = dict(zip(below + "/" + table["path"], table["group"], strict=True))
    images = listing.images.assign(group=listing.images["path"].map(groups).fillna(""))
    is_known = images["group"] != ""
    if not is_known.any():
        form = images["path"][0].removeprefix(f"{below}/")
        raise InputError(f"'{path}' names none of the {len(images)} images found. Its paths look like '{form}'.")
    left_out = images.loc[~is_known, ["path"]].assign(problem=f"no original photograph in {ORIGINALS}; left out")
    problems = pd.concat([listing.problems, left_out], ignore_index=True)
    classes = tuple(label for label in listing.classes if label in set(images["label"][is_known]))
    return replace(listing, images=images[is_known].reset_index(drop=True), classes=classes, problems=problems)


CARDS = (
    DatasetInfo(
        name="catdog",
        title="Cats and dogs",
        modality="natural images of cats and dogs",
        classes=PETS,
        n_per_class={"cat": 12_500, "dog": 12_500},
        group=None,
        licence="none stated; made available for research (Asirra)",
        url="https://www.microsoft.com/en-us/download/details.aspx?id=54765",
        citation="elson2007",
        read=read_catdog,
        files=("PetImages", "dogs-vs-cats/train", "catdog"),
        downloads=(
            Download(
                "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
                checksum="sha256:b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
                n_bytes=824_887_076,
                unpack=True,
            ),
        ),
    ),
    DatasetInfo(
        name="natural",
        title="Natural Images",
        modality="natural images of objects",
        classes=NATURAL,
        n_per_class=dict(zip(NATURAL, (727, 968, 885, 702, 843, 1_000, 788, 986), strict=True)),
        group=None,
        licence="CC BY-NC-SA 4.0",
        url="https://www.kaggle.com/datasets/prasunroy/natural-images",
        citation="roy2018",
        read=read_natural,
        files=("natural_images", "natural"),
        by_hand=KAGGLE + "Download https://www.kaggle.com/datasets/prasunroy/natural-images and unpack it in DATA, to\n"
        "DATA/natural_images/<class>/*.jpg.",
    ),
    DatasetInfo(
        name="diabetic_retinopathy",
        title="Diabetic retinopathy",
        modality="photographs of retinas",
        classes=GRADES,
        # the training images; labels of the others were published later
        n_per_class=dict(zip(GRADES, (25_810, 2_443, 5_292, 873, 708), strict=True)),
        group="patient",
        licence="terms of the Kaggle competition: non-commercial research and education",
        url="https://www.kaggle.com/c/diabetic-retinopathy-detection",
        citation="eyepacs2015",
        read=read_diabetic_retinopathy,
        files=("diabetic-retinopathy-detection", "diabetic_retinopathy"),
        by_hand=KAGGLE
        + "Download train.zip.001 to .005 and trainLabels.csv.zip of the competition diabetic-retinopathy-detection.\n"
        "Join the parts (cat train.zip.00? > train.zip) and unpack both in DATA/diabetic-retinopathy-detection.",
    ),
    DatasetInfo(
        name="isic2017",
        title="ISIC 2017",
        modality="dermoscopy of skin lesions",
        classes=LESIONS,
        n_per_class=dict(zip(LESIONS, (374, 254, 1_372), strict=True)),
        group=None,  # the lesion is not published
        part_of="isic",
        licence="CC0 1.0",
        url="https://challenge.isic-archive.com/data/#2017",
        citation="codella2018",
        read=read_isic2017,
        files=("ISIC-2017_Training_*", "ISIC2017", "isic2017"),
        downloads=(  # the publisher gives no checksums
            Download(f"{ISIC}/ISIC-2017_Training_Data.zip", unpack=True, n_bytes_unpacked=20 * 10**9),
            Download(f"{ISIC}/ISIC-2017_Training_Part3_GroundTruth.csv"),
        ),
    ),
    DatasetInfo(
        name="bloodcell",
        title="Blood cells (BCCD, augmented)",
        modality="stained blood cells under the microscope",
        classes=CELLS,
        n_per_class=dict(zip(CELLS, (3_120, 3_103, 3_098, 3_123), strict=True)),
        # Rotated and mirrored copies of about 400 photographs. The number in a file name is not that of the photograph.
        group="original photograph",
        groups_from=f"Match the images with the photographs of BCCD (local features and an affine fit, mirrored or not) and put "
        f"the result in dataset2-master/{ORIGINALS}, with the columns path (images/TRAIN/...) and group.",
        licence="MIT",
        url="https://www.kaggle.com/datasets/paultimothymooney/blood-cells",
        citation="mooney2018",
        read=read_bloodcell,
        files=("dataset2-master", "bloodcell"),
        by_hand=KAGGLE
        + "Download https://www.kaggle.com/datasets/paultimothymooney/blood-cells and unpack it in DATA, to\n"
        "DATA/dataset2-master/images/{TRAIN,TEST}/<class>/*.jpeg.\n"
        f"To use it as a target, name the original photograph of every image in DATA/dataset2-master/{ORIGINALS} (path, group).",
    ),
)
