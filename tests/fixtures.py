"""Tiny datasets in their native layouts, written with Pillow; all pixels are seeded noise."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

WNIDS = ("n01440764", "n02102040", "n02979186")
TEXTURES = ("banded", "dotted", "woven")
LESIONS = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")


def picture(seed, size=(40, 32)):
    """Coarse colour noise of (width, height), enlarged, so that it survives JPEG and shrinking."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)


def save(path, seed, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).convert(mode).save(path, quality=90)


def write_imagenet(data_dir: Path, n_per_class=4):
    for i, wnid in enumerate(WNIDS):
        for k in range(n_per_class):
            name = f"ILSVRC2012_val_{i}{k:07d}" if k == 0 else f"{wnid}_{k}"
            save(data_dir / "imagenet" / wnid / f"{name}.JPEG", 100 * i + k)


def write_dtd(data_dir: Path, n_per_class=4):
    for i, label in enumerate(TEXTURES):
        for k in range(n_per_class):
            save(data_dir / "dtd/images" / label / f"{label}_{k:04d}.jpg", 1000 + 100 * i + k)


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


def write_all(data_dir: Path):
    for write in (write_imagenet, write_dtd, write_chest, write_isic2018):
        write(data_dir)
