"""Stores give back what was written, report damaged files, and survive a killed run; every kind of file becomes RGB."""

import hashlib
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fixtures
import h5py
import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image, ImageOps

from catscans_lib import datasets
from catscans_lib.errors import InputError
from catscans_lib.images import checks, decode, folds, store

ROOT = Path(__file__).parents[2]
SIZE = 24
BILINEAR = Image.Resampling.BILINEAR


@pytest.fixture
def native_data(tmp_path):
    fixtures.write_dtd(tmp_path / "native")
    return tmp_path / "native"


@pytest.fixture
def dtd(native_data):
    return datasets.read("dtd", native_data)


def write(path, listing, **options):
    return store.write(path, listing, dataset="dtd", size_px=SIZE, **options)


def plain(path, size):
    """Pillow's plain path, without any scaling inside the JPEG decoder."""
    return np.asarray(Image.open(path).convert("RGB").resize((size, size), BILINEAR))


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def pixels_of(image, path, **options):
    image.save(path, **options)
    got = decode.decode(path, 4)
    assert got.problem == ""
    return got.pixels


def test_a_store_gives_back_every_image_and_row(dtd, native_data, tmp_path):
    problems = write(tmp_path / "dtd.h5", dtd)
    opened = store.open_store(tmp_path / "dtd.h5")
    assert problems.empty and list(problems.columns) == ["path", "problem"]
    assert (opened.dataset, opened.size_px, opened.classes) == ("dtd", SIZE, ("banded", "dotted", "woven"))
    assert list(opened.table.columns) == ["image_id", "label", "group", "split", "path", "sha256", "mode", "size"]
    pd.testing.assert_frame_equal(opened.table[list(dtd.images.columns)], dtd.images)
    for image, row in zip(opened.images, opened.table.itertuples(), strict=True):
        file = native_data / row.path
        assert row.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        np.testing.assert_array_equal(image, plain(file, SIZE))  # 40 x 32 px: too small for DCT scaling
    assert isinstance(opened.images, np.memmap) and not opened.images.flags.writeable
    with h5py.File(tmp_path / "dtd.h5") as file:
        np.testing.assert_array_equal(opened.images, file["images"][: len(opened.images)])
        assert file["images"].chunks is None


def test_worker_processes_write_the_same_store(dtd, native_data, tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "CHUNK", 2)  # 6 chunks for 2 processes
    (native_data / dtd.images["path"][3]).write_bytes(b"broken")
    here = write(tmp_path / "here.h5", dtd)
    there = write(tmp_path / "there.h5", dtd, n_processes=2)
    a, b = store.open_store(tmp_path / "here.h5"), store.open_store(tmp_path / "there.h5")
    np.testing.assert_array_equal(a.images, b.images)
    assert a.table.equals(b.table) and a.fingerprint == b.fingerprint and here.equals(there)


def test_only_a_few_chunks_are_pending_at_once(monkeypatch):
    pending = []

    def submit(task, chunk):
        pending.append(chunk)
        assert len(pending) <= 4
        return SimpleNamespace(result=lambda: pending.pop(0))

    monkeypatch.setattr(decode, "ProcessPoolExecutor", lambda *_, **__: nullcontext(SimpleNamespace(submit=submit)))
    assert len(list(decode.decode_files(range(1000), SIZE, n_processes=2))) == 1000


def test_the_fingerprint_follows_pixels_labels_and_size_but_not_the_folder(dtd, native_data, tmp_path):
    def fingerprint(listing, size_px):
        store.write(tmp_path / "x.h5", listing, dataset="dtd", size_px=size_px)
        return store.open_store(tmp_path / "x.h5").fingerprint

    first = fingerprint(dtd, SIZE)
    moved = replace(dtd, root=native_data.rename(tmp_path / "elsewhere"))
    relabelled = replace(moved, images=dtd.images.assign(label="banded"))
    assert fingerprint(moved, SIZE) == first
    assert fingerprint(moved, SIZE + 1) != first != fingerprint(relabelled, SIZE)
    fixtures.save(moved.root / dtd.images["path"][0], seed=99)
    assert fingerprint(moved, SIZE) != first


def test_damaged_and_far_too_large_files_are_reported_and_the_rest_is_kept(dtd, native_data, tmp_path, monkeypatch):
    files = [native_data / path for path in dtd.images["path"][:6]]
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:-150])
    files[2].write_bytes(b"this is no JPEG")
    files[3].unlink()
    Image.new("RGB", (60, 50)).save(files[4])
    Image.new("RGB", (90, 50)).save(files[5])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow warns above it and fails above its double
    problems = write(tmp_path / "dtd.h5", dtd)
    assert list(problems["path"]) == list(dtd.images["path"][:6])
    empty, short, text, gone, *large = problems["problem"]
    assert all("more than 2,000 pixels" in problem for problem in large)
    assert empty == "could not be read: empty file (0 bytes)"
    assert "truncated" in short and text == "could not be read: not an image of a known kind" and "No such file" in gone
    assert str(tmp_path) not in problems.to_csv()
    opened = store.open_store(tmp_path / "dtd.h5")
    assert opened.classes == ("dotted", "woven")  # all four banded images are gone
    assert list(opened.table["image_id"]) == list(dtd.images["image_id"][6:])
    np.testing.assert_array_equal(opened.images[0], plain(native_data / opened.table["path"][0], SIZE))


def test_no_image_at_all_is_an_error_and_leaves_no_store(dtd, native_data, tmp_path):
    for path in dtd.images["path"]:
        (native_data / path).write_bytes(b"")
    with pytest.raises(InputError, match=r"None of 12 images of 'dtd' could be decoded. First problem: .*0 bytes"):
        write(tmp_path / "out/dtd.h5", dtd)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_run_leaves_no_store_and_does_not_change_an_old_one(dtd, native_data, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from catscans_lib import datasets; from catscans_lib.images import store\n"
        "data_dir, path = map(Path, sys.argv[1:])\n"
        "def killed(*_):\n    yield from decode_files([data_dir / 'dtd/images/banded/banded_0000.jpg'], 24)\n"
        "    os.kill(os.getpid(), 9)\n"
        "decode_files, store.decode_files = store.decode_files, killed\n"
        "listing = datasets.read('dtd', data_dir)\n"
        "store.write(path, listing, dataset='dtd', size_px=24)"
    )
    path = tmp_path / "out/dtd.h5"

    def killed_run():
        done = subprocess.run([sys.executable, "-c", code, native_data, path], cwd=ROOT)
        assert done.returncode == -signal.SIGKILL

    killed_run()
    assert all(name.startswith(".dtd.h5.") and name.endswith(".part") for name in names_in(tmp_path / "out"))
    with pytest.raises(InputError, match="No image store"):
        store.open_store(path)
    write(path, dtd)  # the next run goes through and clears the rest
    assert names_in(tmp_path / "out") == ["dtd.h5"]
    before = path.read_bytes()
    killed_run()
    assert path.read_bytes() == before


def test_the_workers_of_a_killed_run_end_too(dtd, native_data):
    code = (
        "import multiprocessing, os, sys; from pathlib import Path; from catscans_lib.images import decode\n"
        "images = decode.decode_files([Path(sys.argv[1])] * 100, 24, n_processes=2)\n"
        "next(images)\n"
        "print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    file = native_data / dtd.images["path"][0]
    done = subprocess.run([sys.executable, "-c", code, file], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    workers = [psutil.Process(int(pid)) for pid in done.stdout.split() if psutil.pid_exists(int(pid))]
    assert len(done.stdout.split()) == 2
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE] == []


def test_a_missing_foreign_or_old_store_says_what_to_do(tmp_path):
    path = tmp_path / "x.h5"
    with pytest.raises(InputError, match=r"No image store '.*x\.h5'. Run the ingest notebook"):
        store.open_store(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match=r"not an HDF5 file. Delete it"):
        store.open_store(path)
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(InputError, match=rf"has reader version none, not {store.READER_VERSION}. Delete it"):
        store.open_store(path)


def test_generated_images_are_stored_in_the_order_of_their_ids(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    table = pd.DataFrame({"image_id": ["c", "a", "b"], "label": ["x", "y", "x"], "group": ["1", "1", "2"], "split": ""})
    store.write_arrays(tmp_path / "x.h5", images, table, ("x", "y"), dataset="chest", size_px=8)
    opened = store.open_store(tmp_path / "x.h5")
    assert list(opened.table["image_id"]) == ["a", "b", "c"] and list(opened.table["label"]) == ["y", "x", "x"]
    np.testing.assert_array_equal(opened.images, images[[1, 2, 0]])
    assert opened.table["sha256"][0] == hashlib.sha256(images[1].tobytes()).hexdigest()
    assert set(opened.table["path"]) == {""}


@pytest.mark.parametrize(
    "mode, colour, expected",
    [
        ("L", 90, (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
        ("LA", (90, 255), (90, 90, 90)),
        ("LA", (90, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),  # one fifth black on white
        ("P", 0, (255, 0, 0)),
    ],
)
def test_every_mode_of_png_becomes_the_right_rgb(mode, colour, expected, tmp_path):
    image = Image.new(mode, (6, 5), colour)
    if mode == "P":
        image.putpalette([255, 0, 0, 0, 255, 0])
    assert (pixels_of(image, tmp_path / "x.png") == expected).all()


def test_transparent_palettes_and_cmyk_become_rgb(tmp_path):
    image = Image.new("P", (6, 5), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    assert (pixels_of(image, tmp_path / "x.png", transparency=1) == 255).all()
    got = pixels_of(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "x.jpg", quality=100)
    assert np.abs(got.astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_in_exif_is_applied(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    fixtures.picture(0).save(tmp_path / "x.jpg", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "x.jpg")).convert("RGB").resize((SIZE, SIZE), BILINEAR)
    np.testing.assert_array_equal(decode.decode(tmp_path / "x.jpg", SIZE).pixels, upright)


@pytest.mark.parametrize("size", [(1328, 970), (970, 1328), (300, 200), (95, 97)])
def test_dct_scaling_stays_within_two_grey_levels_of_plain_pillow(size, tmp_path):
    fixtures.picture(1, size).save(tmp_path / "x.jpg", quality=92)
    difference = decode.decode(tmp_path / "x.jpg", SIZE).pixels.astype(int) - plain(tmp_path / "x.jpg", SIZE)
    assert np.abs(difference).mean() < 2


def test_damaged_bytes_never_raise(tmp_path):
    rng = np.random.default_rng(0)
    fixtures.picture(0).save(tmp_path / "good.jpg", exif=Image.Exif())
    fixtures.picture(0).quantize(16).save(tmp_path / "good.png")
    for good in (tmp_path / "good.jpg", tmp_path / "good.png"):
        for _ in range(200):
            data = bytearray(good.read_bytes())
            for place in rng.integers(0, len(data), 5):
                data[place] = rng.integers(256)
            (tmp_path / "bad").write_bytes(data[: rng.integers(1, 2 * len(data))])
            got = decode.decode(tmp_path / "bad", SIZE)
            assert (got.pixels is None) == bool(got.problem)


# Images, classes and groups of the real sample; equal files, those of two splits, patients in several splits, near duplicates
KNOWN = {
    "imagenet": (400, 10, 400, 0, 0, 0, 0), "dtd": (400, 10, 400, 0, 0, 0, 2), "chest": (600, 2, 330, 6, 2, 70, 0),
    "isic2018": (700, 7, 673, 0, 0, 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_real_images_have_their_known_properties_decode_as_with_plain_pillow_and_keep_groups_in_folds(
    name, realdata, tmp_path
):
    listing = datasets.read(name, realdata)
    assert listing.problems.empty
    assert store.write(tmp_path / "x.h5", listing, dataset=name, size_px=112).empty
    opened = store.open_store(tmp_path / "x.h5")
    table, manifest = opened.table, pd.read_csv(realdata / "MANIFEST.csv").set_index("path").loc[opened.table["path"]]
    assert list(table["sha256"]) == list(manifest["sha256"])
    assert list(table["label"].str.upper()) == list(manifest["class"].str.upper())
    if name in ("chest", "isic2018"):
        assert list(listing.images["group"]) == list(manifest["group"])
    duplicates, crossing = checks.duplicates(table), checks.split_groups(table)
    shape = (len(table), len(opened.classes), listing.images["group"].nunique())
    n_across = (duplicates["across"] == "split").sum()
    near = checks.near_duplicates(opened.images, table)
    assert (*shape, len(duplicates), n_across, len(crossing), len(near)) == KNOWN[name]
    for row in range(0, len(table), 20):  # at most 224 px on the shorter side, so DCT scaling does not apply
        np.testing.assert_array_equal(opened.images[row], plain(realdata / table["path"][row], 112))
    made = folds.make(table, n_folds=5, seed=0).merge(table[["image_id", "sha256"]])
    assert made.groupby("group")["fold"].nunique().max() == made.groupby("sha256")["fold"].nunique().max() == 1
