"""Tiny datasets in their published layouts, written with Pillow; all pixels are seeded noise."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from catscans_lib import datasets

WNIDS = ("n01440764", "n02102040", "n02979186")
TEXTURES = ("banded", "dotted", "woven")
LESIONS = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")


def picture(seed, size=(40, 32)):
    """Coarse colour noise of (width, height), enlarged, so that it survives JPEG and shrinking."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)


def save(path, seed, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).convert(mode).save(path, **({} if path.suffix == ".tif" else {"quality": 90}))


def problems(listing):
    """What a listing leaves out, by path."""
    return dict(zip(listing.problems["path"], listing.problems["problem"], strict=True))


def write_imagenet(data_dir: Path, n_per_class=4):
    for i, wnid in enumerate(WNIDS):
        for k in range(n_per_class):
            name = f"ILSVRC2012_val_{i}{k:07d}" if k == 0 else f"{wnid}_{k}"
            save(data_dir / "imagenet" / wnid / f"{name}.JPEG", 100 * i + k)


def write_classes(folder: Path, labels, name, seed, n_per_class):
    """Images of a folder per class; `name` gets label and number."""
    for i, label in enumerate(labels):
        for k in range(n_per_class):
            save(folder / label / name.format(label=label, k=k), seed + 100 * i + k)


def write_dtd(data_dir: Path, n_per_class=4):
    write_classes(data_dir / "dtd/images", TEXTURES, "{label}_{k:04d}.jpg", 1000, n_per_class)


def write_chest(data_dir: Path, n_per_class=6):
    """Two images per patient, the second one in another split where that is possible."""
    for k in range(n_per_class):
        split = ("train", "test", "train")[k % 3]
        patient, nth = k // 2 + 1, k % 2 + 1
        folder = data_dir / "chest_xray" / split
        save(folder / "PNEUMONIA" / f"person{patient}_bacteria_{k}.jpeg", 2000 + k, "L")
        save(folder / "NORMAL" / f"IM-{patient:04d}-{nth:04d}.jpeg", 2500 + k, "L")


def write_isic2018(data_dir: Path, n_per_class=4):
    """The first two images of every class show one lesion."""
    root = data_dir / "ISIC2018"
    truth, lesions = [], []
    for i, label in enumerate(LESIONS):
        for k in range(n_per_class):
            name = f"ISIC_{10000 + 100 * i + k:07d}"
            save(root / "ISIC2018_Task3_Training_Input" / f"{name}.jpg", 3000 + 100 * i + k)
            truth.append({"image": name} | {other: float(other == label) for other in LESIONS})
            lesions.append(
                {"image": name, "lesion_id": f"HAM_{100 * i + max(k, 1):07d}", "diagnosis_confirm_type": "histo"}
            )
    folder = root / "ISIC2018_Task3_Training_GroundTruth"
    folder.mkdir()
    pd.DataFrame(truth).to_csv(folder / "ISIC2018_Task3_Training_GroundTruth.csv", index=False)
    pd.DataFrame(lesions).to_csv(root / "ISIC2018_Task3_Training_LesionGroupings.csv", index=False)


def noise(seed, n, size=96):
    """RGB images (n, size, size, 3): colour gradients with a bright corner, so that rotations and mirror images are noticed."""
    rng = np.random.default_rng(seed)
    images = np.linspace(0, 200, size, dtype="float32")[None, :, None, None] * rng.random((n, 1, 1, 3))
    images = np.broadcast_to(images, (n, size, size, 3)).astype(np.uint8)
    images[:, : size // 4, : size // 8, 0] = 255
    return images


def write_stl10(data_dir: Path, n_per_class=2):
    """Planes of red, green and blue, each stored column by column; labels from 1."""
    folder = data_dir / "stl10_binary"
    folder.mkdir(parents=True)
    for seed, split in enumerate(("train", "test")):
        codes = np.repeat(np.arange(1, 11, dtype=np.uint8), n_per_class)
        noise(seed, len(codes)).transpose(0, 3, 2, 1).tofile(folder / f"{split}_X.bin")
        codes.tofile(folder / f"{split}_y.bin")


def write_sti10(data_dir: Path, n_per_class=2):
    wnids = "n04326547 n02897820 n03530642 n07840804 n09416076 n03309808 n09247410 n02999410 n09376198 n11669921"
    write_classes(data_dir / "sti10", wnids.split(), "{label}_{k}.JPEG", 5000, n_per_class)


def write_pcam(data_dir: Path, n=330, size=16):
    """Three splits of n patches, thirty a slide; classes alternate."""
    folder = data_dir / "pcam"
    folder.mkdir(parents=True)
    for seed, split in enumerate(("train", "valid", "test")):
        stem = folder / f"camelyonpatch_level_2_split_{split}"
        with h5py.File(f"{stem}_x.h5", "w") as file:
            file["x"] = noise(10 + seed, n, size)
        with h5py.File(f"{stem}_y.h5", "w") as file:
            file["y"] = (np.arange(n) % 2).astype(np.uint8).reshape(n, 1, 1, 1)
        slides = [f"camelyon16_{split}_{k // 30:03d}" for k in range(n)]
        pd.DataFrame({"tumor_patch": np.arange(n) % 2 == 1, "wsi": slides}).to_csv(f"{stem}_meta.csv")


def write_kimia960(data_dir: Path, n_per_class=2):
    for i, letter in enumerate("ABCDEFGHIJKLMNOPQRST"):
        for k in range(n_per_class):
            save(data_dir / "kimia_path_960" / f"{letter}{k + 1}.tif", 7000 + 100 * i + k)


def write_catdog(data_dir: Path, n_per_class=3):
    write_classes(data_dir / "PetImages", ("Cat", "Dog"), "{k}.jpg", 8000, n_per_class)


def write_natural(data_dir: Path, n_per_class=2):
    labels = ("airplane", "car", "cat", "dog", "flower", "fruit", "motorbike", "person")
    write_classes(data_dir / "natural_images", labels, "{label}_{k:04d}.jpg", 8300, n_per_class)


def write_diabetic_retinopathy(data_dir: Path, n_patients=10):
    """Both eyes of every patient; the left one is graded 0 to 4 in turn, the right one 0."""
    folder = data_dir / "diabetic-retinopathy-detection"
    rows = []
    for k in range(n_patients):
        for side, level in (("left", k % 5), ("right", 0)):
            save(folder / "train" / f"{10 + k}_{side}.jpeg", 9200 + 2 * k + (side == "right"))
            rows.append({"image": f"{10 + k}_{side}", "level": level})
    pd.DataFrame(rows).to_csv(folder / "trainLabels.csv", index=False)


def write_isic2017(data_dir: Path, n_per_class=3):
    rows = []
    for i, hot in enumerate(((1.0, 0.0), (0.0, 1.0), (0.0, 0.0))):
        for k in range(n_per_class):
            name = f"ISIC_{100 * i + k:07d}"
            save(data_dir / "ISIC-2017_Training_Data" / f"{name}.jpg", 9300 + 100 * i + k)
            save(data_dir / "ISIC-2017_Training_Data" / f"{name}_superpixels.png", 9300 + 100 * i + k)
            rows.append((name, *hot))
    table = pd.DataFrame(rows, columns=["image_id", "melanoma", "seborrheic_keratosis"])
    table.to_csv(data_dir / "ISIC-2017_Training_Part3_GroundTruth.csv", index=False)


def write_bloodcell(data_dir: Path, n_per_class=2):
    for i, split in enumerate(("TRAIN", "TEST", "TEST_SIMPLE")):
        for k in range(n_per_class):
            for j, label in enumerate(("EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL")):
                path = data_dir / "dataset2-master/images" / split / label / f"_{j}_{100 * i + k}.jpeg"
                save(path, 9600 + 100 * i + 10 * j + k)
    folder = data_dir / "dataset2-master"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("images/T*[TN]/*/*"))
    originals = [f"BloodImage_{number % 3}" for number in range(len(names))]
    pd.DataFrame({"path": names, "group": originals}).to_csv(folder / "original_pictures.csv", index=False)


def write_npz(path: Path, shape=(28, 28), n=12, n_classes=3):
    """MedMNIST's form: three splits with all classes in each."""
    arrays = {}
    for seed, split in enumerate(("train", "val", "test")):
        rng = np.random.default_rng(seed)
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(n) % n_classes).astype(np.uint8).reshape(n, 1)
    np.savez_compressed(path, **arrays)
    return arrays


def write_medmnist(name: str):
    """Return a function that writes a set of MedMNIST with all classes in each split; ChestMNIST's labels are a matrix."""

    def write(data_dir: Path, n_per_class=3, size=28):
        n_classes = len(datasets.get(name).classes)
        path = data_dir / "medmnist" / (f"{name}.npz" if size == 28 else f"{name}_{size}.npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = write_npz(path, (size, size), n_per_class * n_classes, n_classes)
        if datasets.get(name).reading.get("multi_label"):
            for split in ("train", "val", "test"):
                arrays[f"{split}_labels"] = np.eye(n_classes, dtype=np.uint8)[arrays[f"{split}_labels"].ravel()]
            np.savez_compressed(path, **arrays)

    return write


def write_malaria(data_dir: Path, n_patients=4):
    """Two cells of each class for every patient."""
    write_classes(
        data_dir / "cell_images", ("Parasitized", "Uninfected"), "C{k}P6ThinF_IMG_2015_cell_1.png", 9900, n_patients
    )
    write_classes(
        data_dir / "cell_images", ("Parasitized", "Uninfected"), "C{k}P6ThinF_IMG_2015_cell_2.png", 9950, n_patients
    )


def write_breast_ultrasound(data_dir: Path, n_per_class=3):
    labels, folder = ("benign", "malignant", "normal"), data_dir / "Dataset_BUSI_with_GT"
    write_classes(folder, labels, "{label} ({k}).png", 10_100, n_per_class)
    write_classes(folder, labels, "{label} ({k})_mask.png", 10_150, n_per_class)


def write_brain_mri(data_dir: Path, n_per_class=3):
    write_classes(data_dir / "brain_tumor_dataset", ("no", "yes"), "{label} {k}.jpg", 10_400, n_per_class)


def write_brain_tumours(data_dir: Path, n_per_class=2):
    for seed, split in ((10_600, "Training"), (10_650, "Testing")):
        labels = ("glioma", "meningioma", "notumor", "pituitary")
        write_classes(data_dir / "brain_tumor_mri" / split, labels, split[:2] + "-{label}_{k}.jpg", seed, n_per_class)


def write_covid_ct(data_dir: Path, n_papers=3):
    for k in range(2):
        write_classes(
            data_dir / "COVID-CT", ("CT_COVID",), "2020.02.1{k}-p8-9%" + f"{k}.png", 11_000 + 50 * k, n_papers
        )
        write_classes(data_dir / "COVID-CT", ("CT_NonCOVID",), "1{k}%" + f"{k}.jpg", 11_100 + 50 * k, n_papers)


def write_covid_xray(data_dir: Path, n_per_class=3):
    write_classes(data_dir / "covid_xray", ("Covid-19",), "kjr-2{k}-g001-l-a.jpg", 11_300, n_per_class)
    for seed, label in ((11_400, "No_findings"), (11_500, "Pneumonia")):
        write_classes(data_dir / "covid_xray", (label,), "000015{k:02d}_004.png", seed, n_per_class)


def write_imagenet64(data_dir: Path, n_per_class=3):
    for wnid in WNIDS:
        place = data_dir / "tiny-imagenet-200/train" / wnid
        write_classes(place, ("images",), wnid + "_{k}.JPEG", int(wnid[1:5]) + 11_600, n_per_class)
        (place / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t10\t63\t58\n")


_ALL = (
    write_imagenet, write_stl10, write_sti10, write_dtd, write_isic2018, write_chest, write_kimia960, write_catdog,
    write_natural, write_diabetic_retinopathy, write_isic2017, write_bloodcell, write_malaria,
    write_breast_ultrasound, write_brain_mri, write_brain_tumours, write_covid_ct, write_covid_xray, write_imagenet64,
)  # fmt: skip
WRITERS = {write.__name__.removeprefix("write_"): write for write in _ALL}
WRITERS |= {name: write_medmnist(name) for name in datasets.published() if name.endswith("mnist")}
WRITERS |= {"pcam_middle": write_pcam, "pcam_small": write_pcam, "imagenet1k": write_imagenet}


def write_all(data_dir: Path):
    for write in dict.fromkeys(WRITERS.values()):
        write(data_dir)
