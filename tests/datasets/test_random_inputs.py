"""500 random tables and 300 random folder trees, each with its truth: read right or reported, and nothing is lost in silence."""

import os
import posixpath
import shutil
import unicodedata

import numpy as np
import pytest

from catscans_lib.datasets import own
from catscans_lib.errors import InputError
from catscans_lib.images.listing import class_key

NO_GROUP = ("", "NA", "nan", "unknown", "N/A")
CLASSES = ("nävus", "Basal cell", "a,b;c", "3.0")


def pick(rng, values):
    return values[rng.integers(len(values))]


def written(rng, rows):
    """A table in a random dialect, as bytes."""
    delimiter, end = pick(rng, [",", ";", "\t", "|", ", "]), pick(rng, ["\n", "\r\n", "\r", "\n\n"])
    quote = rng.random() < 0.5

    def cell(value):
        must = quote or any(one in value for one in ',;|\t"')
        return '"' + value.replace('"', '""') + '"' if must else value

    after = pick(rng, ["", "", delimiter.strip(" ")])
    lines = [delimiter.join(map(cell, row)) + after for row in rows]
    text = end.join(lines) + pick(rng, ["", end])
    encoding = pick(rng, ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:  # Windows-1252 lacks a letter
        return text.encode()


def random_label_table(rng, folder):
    """Rows, and by path the class and group of each image (None: out); the number of rows that must be reported."""
    paths = [f"part_{n % 2}/p {n}.png" for n in range(12)]
    form = pick(
        rng,
        [
            str,
            lambda path: path.replace("/", "\\"),
            lambda path: f"C:\\x\\{path}".replace("/", "\\"),
            lambda path: path[:-4],
        ],
    )
    rows, truth, n_lost = [], {}, 0
    for n, path in enumerate(paths):
        label, group = CLASSES[n % 4], f"g{n // 3}"
        fault = pick(
            rng, ["", "", "", "again", "other label", "no label", "no file", "no group", "spelling", "two paths"]
        )
        row = [form(path), label, group]
        group = row[2] = pick(rng, NO_GROUP) if fault == "no group" else group
        more = []
        if fault == "again":
            more = [list(row)] * rng.integers(1, 3)
        elif fault in ("other label", "two paths"):
            more = [list(row), [f"part_0/../{path}" if fault == "two paths" else row[0], CLASSES[(n + 1) % 4], group]]
        elif fault == "no label":
            row[1] = pick(rng, ["", "nan"])
        elif fault == "no file":
            row[0] = f"gone/{n}.png"
        elif fault == "spelling":
            row[1] = pick(rng, [label.upper(), label.replace(" ", "_"), unicodedata.normalize("NFD", label)])
        lost = fault in ("other label", "two paths", "no label", "no file")
        n_lost += lost * (1 + len(more))
        if not lost:
            truth[path] = (class_key(label), None if group in NO_GROUP else group)
        rows += [row, *more]
    order = rng.permutation(len(rows))
    return [["path", "label", "group"], *(rows[n] for n in order)], truth, n_lost


@pytest.mark.slow
def test_random_label_tables_are_read_right_or_reported(tmp_path):
    for part in (0, 1):
        (tmp_path / f"part_{part}").mkdir()
    for n in range(12):
        (tmp_path / f"part_{n % 2}/p {n}.png").write_bytes(b"x")
    n_read = 0
    for seed in range(350):
        rng = np.random.default_rng(seed)
        rows, truth, n_lost = random_label_table(rng, tmp_path)
        (tmp_path / "list.csv").write_bytes(written(rng, rows))
        listing = own.card_at(tmp_path / "list.csv", group_column="group").read(tmp_path)
        images = listing.images
        found = dict(
            zip(images["path"], zip(images["label"].map(class_key), images["group"], strict=True), strict=True)
        )
        expected = {path: (label, group or path[:-4]) for path, (label, group) in truth.items()}
        assert found == expected, seed
        assert (listing.problems["path"] != "").sum() == n_lost, (seed, listing.problems)
        n_read += len(images)
    assert 1500 < n_read < 350 * 12 - 500


def random_tree(rng):
    """Paths of images with split and class (None: must be reported), other paths, and whether the tree must be refused."""
    labels = [pick(rng, ["mole", "Basal cell", "näv"]), pick(rng, ["wart", "melanoma", "3"])]
    kind = pick(
        rng, ["flat", "flat", "splits", "splits", "deep", "masks", "patients", "inner splits", "sites", "too deep"]
    )
    kept, lost, other = {}, [], []
    splits = [("", "")]
    if kind in ("splits", "deep"):
        words = [
            ("train", "Training", "TRAIN", "training_set"),
            ("test", "Testing", "Test"),
            ("val", "Valid", "validation"),
        ]
        splits = [(f"{pick(rng, words[n])}/", ("train", "test", "val")[n]) for n in range(rng.integers(2, 4))]
    top = {"deep": "Data/", "too deep": "Data/"}.get(kind, "")
    for folder, split in splits:
        for label in labels:
            name = pick(rng, [label, label.upper(), unicodedata.normalize("NFD", label)]) if split else label
            for n in range(3):
                inside, part = "", split
                if kind == "masks":
                    inside = "images/"
                    lost.append(f"{top}{folder}{name}/masks/{n}.png")
                elif kind == "patients":
                    inside = f"{'AB'[labels.index(label)]}{n}/{pick(rng, ['40X/', '100X/', ''])}"
                elif kind == "inner splits":
                    part = ("train", "test")[n % 2]
                    inside = f"{part.upper()}/"
                elif kind == "sites":
                    inside = f"{('benign', 'malignant')[n % 2]}/"
                stem = pick(rng, ["x", "é", "\u200bx", "a b", "(1)"]) + str(n)
                kept[f"{top}{folder}{name}/{inside}{stem}.png"] = (part, class_key(label))
                if rng.random() < 0.1:
                    lost.append(f"{top}{folder}{name}/{inside}{stem}_mask.png")
    for more, paths in {
        "loose": [f"{top}{splits[0][0]}loose.png"] if kind != "too deep" else [],
        "rubbish": [],
        "bytes": [f"{top}{splits[0][0]}" + os.fsdecode(b"b\xe4d/1.png")] if kind != "too deep" else [],
        "control": [f"{posixpath.dirname(next(iter(kept)))}/a\tb.png"],
        "document": [f"{posixpath.dirname(next(iter(kept)))}/notes.pdf"],
    }.items():
        if rng.random() < 0.25:
            lost += paths
            other += (
                [f"{top}__MACOSX/x/._1.png", f"{top}{next(iter(kept)).removeprefix(top)}/../Thumbs.db"]
                if more == "rubbish"
                else []
            )
    return kept, lost, other, kind in ("sites", "too deep")


@pytest.mark.slow
def test_random_folder_trees_are_read_right_or_refused(tmp_path):
    counts = {"read": 0, "refused": 0}
    for seed in range(300):
        rng = np.random.default_rng(2000 + seed)
        kept, lost, other, is_refused = random_tree(rng)
        folder = tmp_path / str(seed)
        for path in [*kept, *lost, *other]:
            file = folder / os.path.normpath(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
        counts["refused" if is_refused else "read"] += 1
        if is_refused:
            with pytest.raises(InputError) as refused:
                own.card_at(folder).read(folder)
            offered = refused.value.instead
            assert offered[1].is_dir() if offered else "labels.csv" in str(refused.value), seed
        else:
            listing = own.card_at(folder).read(folder)
            rows = listing.images
            found = dict(zip(rows["path"], zip(rows["split"], rows["label"].map(class_key), strict=True), strict=True))
            assert found == kept, seed
            reported = set(listing.problems["path"]) - {""}
            plain = {path for path in lost if not {"\t", "\udce4"} & set(path)}
            assert plain <= reported and len(reported) == len(set(lost)), (seed, reported ^ plain)
            listing.problems.to_csv().encode()
        shutil.rmtree(folder)
    assert min(counts.values()) > 30
