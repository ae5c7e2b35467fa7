"""Archives come out whole and below their folder, or not at all."""

import io
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from catscans_lib.errors import InputError
from catscans_lib.sharing import archives
from catscans_lib.sharing.archives import unpack

NOISE = np.random.default_rng(0).bytes(3_000_000)  # several blocks
MEMBERS = {"cats/tom.jpg": b"tom", "cats/sub/felix.jpg": NOISE, "dogs/rex.jpg": b"", "read me.txt": "ü".encode()}
SUFFIXES = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]


def write(path, members):
    """Write names and contents; None makes a folder, a ZipInfo or TarInfo goes in as it is."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members:
                file.writestr(name if content is not None or not isinstance(name, str) else f"{name}/", content or b"")
    else:
        mode = path.suffix[1:] if path.suffix != ".tar" else ""
        with tarfile.open(path, f"w:{mode}") as file:
            for name, content in members:
                member = tarfile.TarInfo(name) if isinstance(name, str) else name
                member.size = len(content or b"")
                member.type = tarfile.DIRTYPE if content is None and isinstance(name, str) else member.type
                file.addfile(member, io.BytesIO(content or b""))
    return path


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive, folder, match, max_bytes=10**9):
    """Nothing comes out of an archive, and what was in the folder is as it was."""
    (folder / "cats").mkdir(parents=True, exist_ok=True)
    (folder / "cats/old.jpg").write_bytes(b"old")
    with pytest.raises(InputError, match=match):
        unpack(archive, folder, max_bytes=max_bytes)
    assert files_in(folder) == {"cats/old.jpg": b"old"}
    assert [path.name for path in folder.iterdir()] == ["cats"]
    assert archive.is_file()


def zip_member(name, mode):
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, mode << 16
    return member


def tar_member(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_comes_out_whole_whatever_it_is_called(tmp_path, suffix):
    archive = write(tmp_path / f"a.{suffix}", [*MEMBERS.items(), ("empty", None)]).rename(tmp_path / "download")
    unpacked = unpack(archive, tmp_path / "out", max_bytes=10**9)
    assert files_in(tmp_path / "out") == MEMBERS
    assert unpacked.names == ("cats", "dogs", "empty", "read me.txt")
    assert (unpacked.n_files, unpacked.n_bytes) == (4, 3_000_005)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == list(unpacked.names)


def test_a_folder_of_a_zip_may_be_known_by_its_kind_alone(tmp_path):
    archive = write(tmp_path / "a.zip", [(zip_member("cats", stat.S_IFDIR | 0o755), b""), ("cats/tom.jpg", b"tom")])
    unpack(archive, tmp_path / "out", max_bytes=10)
    assert files_in(tmp_path / "out") == {"cats/tom.jpg": b"tom"}


def test_a_folder_that_is_there_is_filled_up_and_files_of_the_same_name_are_replaced(tmp_path):
    archive = write(tmp_path / "a.zip", MEMBERS.items())
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats/tom.jpg").write_bytes(b"old")
    (tmp_path / "cats/mine.jpg").write_bytes(b"mine")
    unpack(archive, tmp_path, max_bytes=10**9)
    found = files_in(tmp_path)
    assert (found["cats/tom.jpg"], found["cats/mine.jpg"]) == (b"tom", b"mine")
    assert found.keys() == MEMBERS.keys() | {"a.zip", "cats/mine.jpg"}


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".a.zip.unpacking/cats").mkdir(parents=True)
    (tmp_path / ".a.zip.unpacking/cats/half.jpg").write_bytes(b"ha")
    unpack(write(tmp_path / "a.zip", MEMBERS.items()), tmp_path, max_bytes=10**9)
    assert files_in(tmp_path).keys() == MEMBERS.keys() | {"a.zip"}


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_what_macos_adds_is_passed_over(tmp_path, suffix):
    junk = ["__MACOSX/cats/._tom.jpg", "cats/.DS_Store", "cats/._tom.jpg", "._cats/tom.jpg"]
    archive = write(tmp_path / f"a.{suffix}", [("./cats/tom.jpg", b"tom"), *((name, b"junk") for name in junk)])
    unpacked = unpack(archive, tmp_path / "out", max_bytes=3)
    assert files_in(tmp_path / "out") == {"cats/tom.jpg": b"tom"}
    assert unpacked.n_files == 1


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_files_get_the_users_own_permissions(tmp_path, suffix):
    member = zip_member("run", stat.S_IFREG | 0o6777) if suffix == "zip" else tarfile.TarInfo("run")
    if suffix == "tar":
        member.mode = 0o6777
    unpack(write(tmp_path / f"a.{suffix}", [(member, b"#!")]), tmp_path / "out", max_bytes=10)
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "out/run").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


# Refused


@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.parametrize(
    "name", ["../evil", "cats/../../evil", "/evil", "cats/..", "..\\evil", "C:evil", "c:/evil", "cats\\evil"]
)
def test_a_member_outside_of_the_folder_is_refused(tmp_path, suffix, name):
    archive = write(tmp_path / f"a.{suffix}", [("cats/tom.jpg", b"tom"), (name, b"evil")])
    refused(archive, tmp_path / "out", r"a\.\w+' is refused, nothing of it was unpacked: its member '.*by hand")
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name, "out"]


def test_a_name_with_a_nul_is_refused(tmp_path):
    archive = write(tmp_path / "a.zip", [("evil_.jpg", b"evil")])
    archive.write_bytes(archive.read_bytes().replace(b"evil_", b"evil\0"))
    refused(archive, tmp_path / "out", r"'evil\\x00.jpg' does not lie below")
    pax = tarfile.TarInfo("tom.jpg")
    pax.pax_headers = {"path": "evil\0.jpg"}
    refused(write(tmp_path / "a.tar", [(pax, b"")]), tmp_path / "out", r"'evil\\x00.jpg' does not lie below")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, kind):
    archive = write(tmp_path / "a.zip", [("cats/tom.jpg", b"tom"), (zip_member("evil", kind | 0o777), b"/etc")])
    refused(archive, tmp_path / "out", "'evil' is a link or a device")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    archive = write(tmp_path / "a.tar", [("cats/tom.jpg", b"tom"), (tar_member("evil", kind, "cats/tom.jpg"), b"")])
    refused(archive, tmp_path / "out", "'evil' is a link or a device")


@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cats/tom.jpg", "cats/tom.jpg"), "'cats/tom.jpg' occurs twice"),
        (("cats/tom.jpg", "cats/./tom.jpg"), "'cats/./tom.jpg' occurs twice"),
        (("cats", "cats/tom.jpg"), "'cats/tom.jpg' makes a folder of a file"),
        (("cats", "cats/sub/tom.jpg"), "'cats/sub/tom.jpg' makes a folder of a file"),
        (("cats/tom.jpg", "cats"), "'cats' occurs twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_is_refused(tmp_path, suffix, names, message):
    archive = write(tmp_path / f"a.{suffix}", [(name, b"x") for name in names])
    refused(archive, tmp_path / "out", message)


def test_a_member_may_not_take_the_place_of_its_archive(tmp_path):
    archive = write(tmp_path / "a.zip", [("a.zip", b"evil"), ("cats/tom.jpg", b"tom")])
    refused(archive, tmp_path / "out", "'a.zip' has the archive's own name")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_bytes_that_are_written_are_bounded(tmp_path, suffix):
    archive = write(tmp_path / f"a.{suffix}", [("cats/zeros", bytes(2_000_000)), ("cats/more", bytes(2_000_000))])
    refused(archive, tmp_path / "out", "'cats/more' exceeds the number of bytes", max_bytes=3_999_999)
    assert unpack(archive, tmp_path / "out", max_bytes=4_000_000).n_bytes == 4_000_000


def test_a_zip_that_says_less_than_it_holds_is_not_believed(tmp_path):
    archive = write(tmp_path / "a.zip", [("zeros", bytes(2_000_000))])
    archive.write_bytes(archive.read_bytes().replace((2_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refused(archive, tmp_path / "out", "Cannot unpack .*member 'zeros'.*Bad CRC", max_bytes=100)


def test_the_number_of_members_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    refused(write(tmp_path / "a.zip", MEMBERS.items()), tmp_path / "out", "has more than 3 members")


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = write(tmp_path / "a.zip", [("cats/tom.jpg", b"tom")])
    body = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        body[body.index(signature) + place] |= 1
    archive.write_bytes(body)
    refused(archive, tmp_path / "out", "'cats/tom.jpg' is encrypted.*by hand")


def test_a_compression_that_python_cannot_undo_is_told(tmp_path):
    archive = write(tmp_path / "a.zip", [("cats/tom.jpg", b"tom")])
    body = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        body[body.index(signature) + place] = 9  # deflate64, which Windows uses beyond 2 GB
    archive.write_bytes(body)
    refused(archive, tmp_path / "out", "'cats/tom.jpg'.*not supported.*by hand")


@pytest.mark.parametrize("body", [b"", b"no archive", b"<html>" * 1000, b"PK\3\4 no zip"])
def test_what_is_no_archive_is_told(tmp_path, body):
    (tmp_path / "a.zip").write_bytes(body)
    refused(tmp_path / "a.zip", tmp_path / "out", "Cannot unpack '.*a.zip', its first member: .*zip.*Delete it")


@pytest.mark.parametrize("members", [[], [("cats/.DS_Store", b"junk")], [("cats", None)]])
@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_an_archive_without_a_file_is_told(tmp_path, suffix, members):
    refused(write(tmp_path / f"a.{suffix}", members), tmp_path / "out", "holds no file")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_that_was_cut_is_told_wherever_that_was(tmp_path, suffix):
    members = {f"cats/{name}.jpg": NOISE[:700] for name in "abcd"}
    archive = write(tmp_path / f"a.{suffix}", members.items())
    body = archive.read_bytes()
    end = 4 * (512 + 1024) if suffix == "tar" else len(body)  # what follows in a tar are zeros
    for length in [*range(0, end, 128), *range(end - 12, end)]:
        archive.write_bytes(body[:length])
        refused(archive, tmp_path / "out", "Cannot unpack .*a.*member.*Delete it and download it again")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_with_a_wrong_byte_is_unpacked_or_told_but_never_anything_else(tmp_path, suffix):
    members = {"cats/a.jpg": NOISE[:700], "cats/b.jpg": NOISE[700:900]}
    archive = write(tmp_path / f"a.{suffix}", members.items())
    body, n_told = archive.read_bytes(), 0
    rng = np.random.default_rng(1)
    for place in rng.choice(min(len(body), 2560), 50, replace=False):
        damaged = bytearray(body)
        damaged[place] ^= rng.integers(1, 256)
        archive.write_bytes(damaged)
        try:
            unpack(archive, tmp_path / "out", max_bytes=10**6)
        except InputError:
            n_told += 1
    assert n_told > 8
    assert {path.name for path in tmp_path.iterdir()} == {archive.name, "out"}


def test_a_tar_whose_second_header_is_damaged_does_not_end_there(tmp_path):
    archive = write(tmp_path / "a.tar", [("cats/tom.jpg", b"tom"), ("cats/felix.jpg", b"felix")])
    body = bytearray(archive.read_bytes())
    body[1024] ^= 1
    archive.write_bytes(body)
    refused(archive, tmp_path / "out", "member 'cats/tom.jpg' or the one after it: bad checksum")


def test_a_second_tar_behind_the_first_is_not_passed_over(tmp_path):
    first, second = (write(tmp_path / name, [(f"cats/{name}", b"tom")]) for name in ("a.tar", "b.tar"))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    refused(first, tmp_path / "out", "member 'cats/a.tar' or the one after it: something follows its end")


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.bz2", "tar.xz"])
def test_a_wrong_checksum_at_the_end_of_what_was_packed_is_found(tmp_path, suffix):
    archive = write(tmp_path / f"a.{suffix}", [("cats/tom.jpg", b"tom")])
    body = bytearray(archive.read_bytes())
    body[-6] ^= 1
    archive.write_bytes(body)
    refused(archive, tmp_path / "out", "Cannot unpack .*'cats/tom.jpg' or the one after it")


def test_a_tar_header_that_would_fill_the_memory_or_go_back_is_refused(tmp_path):
    long = write(tmp_path / "long.tar", [(tar_member("long", tarfile.XHDTYPE), bytes(2**20 + 1)), ("tom.jpg", b"")])
    refused(long, tmp_path / "out", r"Cannot unpack .*a header of 1,048,577 bytes")
    back = tarfile.TarInfo("tom.jpg")
    back.pax_headers = {"size": "-1024"}
    refused(write(tmp_path / "back.tar", [(back, b"")]), tmp_path / "out", "'tom.jpg' has a negative size")


def test_a_disk_that_cannot_be_written_to_is_not_taken_for_a_damaged_archive(tmp_path):
    archive = write(tmp_path / "a.zip", [("x" * 300, b"")])
    with pytest.raises(OSError, match="File name too long"):
        unpack(archive, tmp_path / "out", max_bytes=10)
    assert files_in(tmp_path / "out") == {}
