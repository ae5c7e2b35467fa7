"""The commands about data, as a user types them."""

import gzip
import hashlib
import shutil
from dataclasses import replace

import fixtures
import pytest
import tiny
import yaml
from click.testing import CliRunner
from file_server import Answer, FileServer

from catscans_lib import datasets
from catscans_lib.cli import main
from catscans_lib.grid import expand


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tiny.project(tmp_path / "project")
    for profile in ("paper", "sample"):
        (folder / f"params/{profile}.yaml").write_text((tiny.ROOT / f"params/{profile}.yaml").read_text())
    monkeypatch.setenv("CATSCANS_ROOT", str(folder))
    monkeypatch.delenv("CATSCANS_DATA", raising=False)
    return folder


def catscans(*arguments, status=0):
    result = CliRunner().invoke(main.main, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def test_every_dataset_is_listed_with_how_to_get_it(project):
    lines = catscans("dataset", "ls").splitlines()
    assert [line.split()[0] for line in lines] == list(datasets.known())
    assert "1,281,167" in lines[0] and lines[0].endswith("by hand")


def test_what_is_there_is_compared_with_what_was_published(project, tmp_path):
    fixtures.write_chest(tmp_path / "data")
    said = catscans("dataset", "check", "chest", "--data", tmp_path / "data")
    assert said.startswith("chest: 12 of 5,856 images in 2 classes, 6 groups (patient).\n")
    assert "  NORMAL: 6 images, 1,583 were published\n" in said
    assert "DATA is not set. Pass --data FOLDER" in catscans("dataset", "check", "chest", status=2)


def test_datasets_behind_a_login_come_with_the_steps_to_take(project, tmp_path):
    said = catscans("download", "imagenet", "kimia960", "--data", tmp_path)
    assert (
        "ImageNet is downloaded by hand, from https://www.image-net.org:\n  1. Register at https://www.image-net.org"
        in said
    )
    assert "1. Fill in the form on the home page" in said


def published(folder, server, name):
    """Serve the fixture of a dataset as its publisher packs it; the card's checksums are those of these files."""
    fixtures.WRITERS[name](folder)
    files = []
    for file in datasets.get(name).downloads:
        here = folder / file.folder / file.file_name
        if file.file_name.endswith((".tar.gz", ".zip")):
            top = "dtd" if name == "dtd" else file.file_name.removesuffix(".zip")
            kind = "gztar" if file.file_name.endswith(".tar.gz") else "zip"
            shutil.make_archive(folder / "packed", kind, folder / file.folder, top)
            here = folder / f"packed{'.tar.gz' if kind == 'gztar' else '.zip'}"
        elif not here.exists():
            here.write_bytes(gzip.compress(here.with_suffix("").read_bytes()))
        body = here.read_bytes()
        server.put(f"/{file.file_name}", Answer(body))
        checksum = file.checksum and f"sha256:{hashlib.sha256(body).hexdigest()}"
        files.append(replace(file, checksum=checksum, n_bytes=None))
    return replace(datasets.get(name), downloads=tuple(files))


@pytest.mark.parametrize(("name", "n_images"), [("dtd", 12), ("isic2018", 28), ("pcam_small", 30)])
def test_what_is_downloaded_is_read_as_it_comes(project, tmp_path, monkeypatch, name, n_images):
    with FileServer() as server:
        card = published(tmp_path / "publisher", server, name)
        monkeypatch.setitem(datasets.published(), name, card)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("CATSCANS_MIRROR", server.url)
        said = catscans("download", name, "--data", tmp_path / "data")
        assert f"{name}: {n_images} of {card.n_images:,} images in" in said
        n_asked = sum(map(len, server.asked.values()))
        assert catscans("download", name, "--data", tmp_path / "data").count("Read: ") == 1
        assert sum(map(len, server.asked.values())) == n_asked == len(card.downloads)
    fixtures.WRITERS[name](tmp_path / "plain")
    ids = [list(datasets.read(name, tmp_path / folder).images["image_id"]) for folder in ("data", "plain")]
    assert ids[0] == ids[1]


def test_an_own_folder_becomes_a_target_of_a_new_grid_with_the_study_s_settings_once(project, tmp_path):
    fixtures.write_natural(tmp_path, n_per_class=5)
    said = catscans("dataset", "add", "objects", tmp_path / "natural_images", "--title", "My objects")
    assert "\nRead: 40 images in 8 classes (airplane 5, car 5, " in said
    assert "\nGroups: none. Images of one patient may land in different folds" in said
    assert "Wrote params/datasets/objects.yaml and a row in params/mine.yaml.\n" in said
    runs = expand.grid("mine")
    transfers = [key for key in runs if key.startswith("transfer/")]
    assert transfers == ["transfer/none--objects", "transfer/imagenet--objects"]
    assert runs["transfer/none--objects"].settings.backbone == "resnet50"
    assert runs["ingest/objects"].settings.size_px == 112
    assert datasets.get("objects").title == "My objects"
    text = (project / "params/mine.yaml").read_text()
    assert text.startswith("# Own data, with the settings of paper.yaml") and "# image side (pixels)" in text
    assert "A dataset 'objects' exists" in catscans("dataset", "add", "objects", tmp_path / "natural_images", status=2)
    assert "objects" in datasets.known()


def test_an_own_table_joins_an_existing_grid_as_source_and_target(project, tmp_path, monkeypatch):
    fixtures.write_natural(tmp_path / "data")
    names = sorted(path.name for path in (tmp_path / "data/natural_images/car").iterdir())
    rows = [f"natural_images/car/{name},{label},p{label}" for name, label in zip(names, "ab", strict=True)]
    (tmp_path / "data/cars.csv").write_text("\n".join(["path,kind,owner", *rows]))
    before = (project / "params/sample.yaml").read_text().replace("s: null", "s:").replace("e: null", "e:").splitlines()
    monkeypatch.setenv("CATSCANS_DATA", str(tmp_path / "data"))
    said = catscans(
        "dataset", "add", "cars", tmp_path / "data/cars.csv", "--label-column", "kind", "--group-column", "owner",
        "--group", "owner", "--profile", "sample", "--as", "both",
    )  # fmt: skip
    assert "\nRead: 2 images in 2 classes (a 1, b 1).\nGroups (owner): 2; the largest has 1 images.\n" in said
    assert "Too few groups for 5 folds in 2 of 2 classes: 'a' 1, 'b' 1. Lower folds.n_folds" in said
    assert "DATA=" in said  # the card names a place below it
    after = (project / "params/sample.yaml").read_text().splitlines()
    size = next(line for line in before if line.startswith("  chest: {size_px")).partition(": ")[2]
    assert [line for line in after if line not in before] == [f"  cars: {size}", "    cars:", "    cars:"]
    assert set(before) <= set(after)
    assert {"pretrain/cars", "transfer/cars--chest", "transfer/dtd--cars"} <= set(expand.grid("sample"))
    assert yaml.safe_load((project / "params/datasets/cars.yaml").read_text())["place"] == "cars.csv"


def test_own_arrays_get_the_names_of_their_labels_and_a_size_that_the_network_can_take(project, tmp_path):
    fixtures.write_npz(tmp_path / "blood.npz")
    add, names = ("dataset", "add", "blood", tmp_path / "blood.npz"), ("--class-names", "red, white, platelet")
    said = catscans(*add, "--size-px", 28, "--profile", "tiny")
    assert "The profile is not valid yet: params/tiny.yaml: transfer.targets.blood: size_px got 28" in said
    (project / "params/datasets/blood.yaml").unlink()
    catscans(*add, *names, "--size-px", 32)
    assert set(datasets.get("blood").n_per_class) == {"red", "white", "platelet"}
    assert expand.grid("mine")["ingest/blood"].settings.size_px == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["objects", "nowhere"], "No 'nowhere'. Give a folder with one folder per class"),
        (["objects", "{data}/natural_images", "--as", "source"], "Profile 'mine' is new, and a profile needs a target"),
        (["objects", "{data}/natural_images", "--like", "papers"], "Unknown profile 'papers'; known: demo, paper"),
        (["chest", "{data}/natural_images"], "A dataset 'chest' exists"),
        (["objects", "{data}/natural_images/car"], "2 images lie directly in"),
    ],
)
def test_what_cannot_be_added_says_why_and_leaves_neither_card_nor_grid(project, tmp_path, arguments, message):
    fixtures.write_natural(tmp_path)
    assert message in catscans("dataset", "add", *[word.format(data=tmp_path) for word in arguments], status=2)
    assert not list(project.glob("params/datasets/*.yaml")) and not (project / "params/mine.yaml").exists()


def test_a_loss_is_counted_and_with_strict_an_error_that_leaves_no_card(project, tmp_path):
    fixtures.write_natural(tmp_path)
    fixtures.save(tmp_path / "natural_images/loose.jpg", 1)
    add = ("dataset", "add", "objects", tmp_path / "natural_images")
    assert "--strict: 1 losses. First: in no class folder: loose.jpg." in catscans(*add, "--strict", status=2)
    assert not list(project.glob("params/datasets/*.yaml"))
    assert "Left out: 1.\n  1 x in no class folder. Example: loose.jpg\n" in catscans(*add)
    assert "--strict: 1 losses" in catscans("dataset", "check", "objects", "--strict", status=2)


def test_an_own_row_says_how_images_become_squares_and_whether_losses_are_errors(project, tmp_path):
    fixtures.write_natural(tmp_path)
    for name, options, row in (
        ("one", (), {}),
        ("two", ("--resize", "pad", "--strict"), {"resize": "pad", "strict": True}),
    ):
        catscans("dataset", "add", name, tmp_path / "natural_images", *options)
        written = yaml.safe_load((project / "params/mine.yaml").read_text())["datasets"][name]
        assert written == {"size_px": 112} | row
    settings = expand.grid("mine")["ingest/two"].settings
    assert (settings.resize, settings.strict) == ("pad", True)


def test_a_table_of_findings_is_added_with_its_counts(project, tmp_path):
    for number in range(3):
        fixtures.save(tmp_path / f"{number}.png", number)
    rows = ["0.png,Edema|Mass,p0", "1.png,No Finding,p1", "2.png,Edema,p2"]
    (tmp_path / "a.csv").write_text("\n".join(["path,label,who", *rows]))
    add = ("dataset", "add", "lungs", tmp_path / "a.csv", "--group-column", "who")
    said = catscans(*add, "--multi-label", "|")
    assert "Read: 3 images in 3 classes (Edema 2, Mass 1, No finding 1)." in said
    assert "Too few groups for 5 folds in " in said and "'Mass' 1" in said and "They have no AUC in some." in said
    card = yaml.safe_load((project / "params/datasets/lungs.yaml").read_text())
    assert card["multi_label"] == "|" and card["n_per_class"] == {"Edema": 2, "Mass": 1}
    assert "lungs: 3 images in 2 classes" in catscans("dataset", "check", "lungs")


def test_folders_of_images_may_be_given_from_the_current_folder(project, tmp_path, monkeypatch):
    names = ("1.png", "2.png")
    for number, name in enumerate(names):
        fixtures.save(tmp_path / f"images/part_{number}/{name}", number)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/list.csv").write_text("path,label\n1,a\n2,b\n")
    monkeypatch.chdir(tmp_path)
    folders = ("--image-dir", "images/part_0", "--image-dir", "images/part_1")
    assert "Read: 2 images" in catscans("dataset", "add", "mine", "tables/list.csv", *folders)
    assert "Read: 2 images" in catscans("dataset", "check", "mine")
