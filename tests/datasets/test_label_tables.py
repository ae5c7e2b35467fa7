"""Tables of images as people have them: paths of other systems, several folders, one-hot labels, one label per image."""

import fixtures
import pytest

from catscans_lib import datasets
from catscans_lib.datasets import layouts, own
from catscans_lib.errors import InputError

LABELS = {"a1": "mole", "a2": "wart", "b1": "mole", "b2": "wart"}
ALL = tuple(LABELS.items())


@pytest.fixture
def folder(tmp_path):
    """Two images in each of two folders."""
    for number, name in enumerate(LABELS):
        fixtures.save(tmp_path / f"part_{name[0]}/{name}.png", number)
    return tmp_path


def listed(folder, form, *, head="path,label", rows=ALL, **card):
    """The listing of a table whose paths have a form, such as `x/{name}.png`."""
    lines = [f"{form.format(name=name, part=name[0])},{label}" for name, label in rows]
    (folder / "list.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return own.card_at(folder / "list.csv", **card).read(folder)


FORMS = {
    "relative": ("part_{part}/{name}.png", {}),
    "backslashes": ("part_{part}\\{name}.png", {}),
    "parent folders": ("./part_{part}/../part_{part}//{name}.png", {}),
    "Windows, absolute": ("C:\\Users\\anna\\data\\part_{part}\\{name}.png", {}),
    "Unix, of another computer": ("/home/anna/part_{part}/{name}.png", {}),
    "no suffix": ("part_{part}/{name}", {}),
    "two folders": ("{name}.png", {"image_dir": ["part_a", "part_b"]}),
    "two folders, no suffix": ("{name}", {"image_dir": ["part_a", "part_b"]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_paths_in_every_form_mean_the_same_files(folder, form):
    text, card = FORMS[form]
    listing = listed(folder, text, **card)
    assert dict(zip(listing.images["path"], listing.images["label"], strict=True)) == {
        f"part_{name[0]}/{name}.png": label for name, label in LABELS.items()
    }
    assert listing.problems.empty


def test_a_name_in_two_folders_is_left_out_as_it_may_mean_two_files(folder):
    fixtures.save(folder / "part_b/a1.png", 9)
    listing = listed(folder, "{name}", image_dir=["part_a", "part_b"])
    problems = fixtures.problems(listing)
    assert problems["a1"] == "may be part_a/a1.png or part_b/a1.png; left out"
    assert len(listing.images) == 3
    with pytest.raises(InputError, match="No folder 'part_c' beside"):
        listed(folder, "{name}", image_dir=["part_a", "part_c"])


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([("a1", "mole"), ("a1", "mole"), ("a1", "wart")], 0),
        ([("a1", "wart"), ("a1", "mole")], 0),
        ([("a1", "mole"), ("a1", "mole")], 1),
        ([("a1", "mole"), ("../part_a/a1", "wart")], 0),
        ([("a1", "mole"), ("a1", "")], 0),
    ],
)
def test_an_image_has_one_label_or_is_left_out(folder, rows, kept):
    others = [("a2", "wart"), ("../part_b/b1", "mole")]
    listing = listed(folder, "part_a/{name}.png", rows=[*rows, *others])
    assert (listing.images["path"] == "part_a/a1.png").sum() == kept
    problems = listing.problems[listing.problems["path"] != ""]
    assert len(problems) == (0 if kept else len(rows))
    assert set(problems["problem"]) <= {"listed twice with different values; left out"}
    assert any("rows repeat another row" in note for note in listing.problems["problem"]) == bool(kept)


@pytest.mark.parametrize("word", ["", " ", "NA", "nan", "unknown", "N/A", "-"])
def test_images_without_a_group_are_groups_of_their_own(folder, word):
    rows = [(name, f"{label},{'p1' if name == 'a1' else word}") for name, label in LABELS.items()]
    listing = listed(folder, "part_{part}/{name}.png", head="path,label,who", rows=rows, group_column="who")
    assert list(listing.images["group"]) == ["p1", "part_a/a2", "part_b/b1", "part_b/b2"]
    assert listing.problems["problem"].str.startswith("3 images have no group").sum() == 1


def test_one_hot_columns_are_labels(folder):
    rows = [("a1", "1,0.0"), ("a2", "0,1.0"), ("b1", "1,0"), ("b2", "1,1")]
    for card in ({}, {"label_column": "mole,wart"}):
        listing = listed(folder, "part_{part}/{name}.png", head="path,mole,wart", rows=rows, **card)
        assert list(listing.images["label"]) == ["mole", "wart", "mole"]
        assert fixtures.problems(listing)["part_b/b2.png"] == "2 classes (mole, wart) instead of one; left out"
        assert "The label is the one of these columns that is 1: mole, wart." in set(listing.problems["problem"])
    with pytest.raises(InputError, match="lacks diagnosis; it has path, mole, wart"):
        listed(folder, "{name}", head="path,mole,wart", rows=rows, label_column="diagnosis")


def test_spellings_of_a_class_are_one_class_and_noted(folder):
    rows = [("a1", "Basal cell"), ("a2", "wart"), ("b1", "Basal cell"), ("b2", "basal_Cell")]
    listing = listed(folder, "part_{part}/{name}.png", rows=rows)
    assert listing.classes == ("Basal cell", "wart") and listing.images["label"].value_counts()["Basal cell"] == 3
    assert list(listing.problems["problem"]) == [
        "Read as one class, 'Basal cell', as they differ only in spelling: 'Basal cell', 'basal_Cell'."
    ]


def test_an_image_with_several_labels_is_left_out(folder):
    listing = listed(
        folder, "part_{part}/{name}.png", rows=[("a1", "mole"), ("a2", "wart"), ("b1", "wart|mole"), ("b2", "a|b")]
    )
    assert listing.classes == ("a¦b", "mole", "wart")
    said = "several labels ('wart|mole'), which need --multi-label '|'; left out"
    assert fixtures.problems(listing) == {"part_b/b1.png": said}


FINDINGS = {"a1": "wart|mole", "a2": "Mole", "b1": "No Finding", "b2": "mole"}


@pytest.mark.parametrize(
    ("head", "rows", "card"),
    [
        ("path,label", FINDINGS, {"multi_label": "|"}),
        ("path,label", {name: text.replace("|", "; ") for name, text in FINDINGS.items()}, {"multi_label": ";"}),
        ("path,mole,wart", {"a1": "1,1.0", "a2": "1,", "b1": "0,0", "b2": "1,0"}, {"multi_label": "|"}),
        ("path,No finding,mole,wart", {"a1": ",1,1", "a2": ",1,0", "b1": "1,,", "b2": ",1,"}, {"multi_label": "|"}),
        ("path,x,mole,wart", {"a1": "7,1,1", "a2": "7,1,0", "b1": "7,0,0", "b2": "7,1,0"},
         {"multi_label": "|", "label_column": "mole,wart"}),
    ],
)  # fmt: skip
def test_an_image_may_have_several_findings_or_none(folder, head, rows, card):
    listing = listed(folder, "part_{part}/{name}.png", head=head, rows=list(rows.items()), **card)
    assert listing.multi_label and [name.lower() for name in listing.classes] == ["mole", "wart"]
    assert [text.lower() for text in listing.images["label"]] == ["mole|wart", "mole", "no finding", "mole"]


@pytest.mark.parametrize(
    ("head", "row", "said"),
    [
        ("path,label", "mole|No finding", "'No finding' and 'mole' at once"),
        ("path,label", "", "no label"),
        ("path,none,mole,wart", "1,1,0", "'none' and 'mole' at once"),
        ("path,none,mole,wart", ",,", "no label"),
        ("path,none,mole,wart", "0,-1,0", "'mole' is neither 0 nor 1"),
    ],
)
def test_an_image_whose_findings_are_not_certain_is_left_out(folder, head, row, said):
    others = {"a2": "wart|mole", "b1": "mole"} if head == "path,label" else {"a2": "0,1,1", "b1": "0,1,0"}
    card = {"multi_label": "|"} | ({"label_column": "none,mole,wart"} if "none" in head else {})
    listing = listed(folder, "part_{part}/{name}.png", head=head, rows=[("a1", row), *others.items()], **card)
    assert fixtures.problems(listing)["part_a/a1.png"] == f"{said}; left out" and len(listing.images) == 2


def test_images_beside_the_listed_ones_are_noted(folder):
    fixtures.save(folder / "part_a/a3.png", 9)
    listing = listed(folder, "part_{part}/{name}.png")
    assert list(listing.problems["problem"]) == [
        "1 images in the same folders are not in the table, such as 'part_a/a3.png'."
    ]


@pytest.mark.parametrize("name", ["BACTERIA-1008087-0001", "NORMAL-1008087-0002", "VIRUS-1008087-0001"])
def test_patients_of_kermanys_third_version_are_their_numbers(name):
    assert layouts.group_by_pattern(datasets.get("chest").reading["group_pattern"])(name) == "1008087"


def test_the_two_folders_of_ham10000_are_read_with_its_metadata(realdata, tmp_path):
    """Half of the sample is moved to a second folder, as in the published form."""
    source = realdata / "HAM10000"
    for number, file in enumerate(sorted((source / "HAM10000_images_part_1").iterdir())):
        target = tmp_path / f"HAM10000_images_part_{1 + number % 2}" / file.name
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(file)
    (tmp_path / "HAM10000_metadata.csv").write_bytes(next(source.glob("*.csv")).read_bytes())
    card = own.card_at(
        tmp_path / "HAM10000_metadata.csv", path_column="image_id", label_column="dx", group_column="lesion_id",
        image_dir=["HAM10000_images_part_1", "HAM10000_images_part_2"],
    )  # fmt: skip
    listing = card.read(tmp_path)
    assert (len(listing.images), listing.images["group"].nunique(), listing.problems.empty) == (40, 39, True)


def test_a_folder_without_a_name_and_empty_values(tmp_path, monkeypatch):
    fixtures.save(tmp_path / "mole/a.png", 1)
    monkeypatch.chdir(tmp_path)
    assert own.card_at(tmp_path.relative_to(tmp_path)).title == tmp_path.name
    with pytest.raises(InputError, match="group_column got ''"):
        own.card_at(tmp_path, group_column="")
