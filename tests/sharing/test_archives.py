"""An archive is unpacked completely and below its folder, or not at all."""

import io
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from catscans_lib.errors import InputError
from catscans_lib.sharing.archives import unpack

NOISE = np.random.default_rng(0).bytes(300_000)
MEMBERS = {"cats/tom.jpg": b"tom", "cats/sub/felix.jpg": NOISE, "dogs/rex.jpg": b"", "read me.txt": "ü".encode()}
SUFFIXES = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]
both = pytest.mark.parametrize("suffix", ["zip", "tar"])


def write(path, members):
    """Write names and contents; None makes a folder, a ZipInfo or TarInfo goes in as it is."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members:
                file.writestr(name if content is not None or not isinstance(name, str) else f"{name}/", content or b"")
    else:
        with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as file:
            for name, content in members:
                member = tarfile.TarInfo(name) if isinstance(name, str) else name
                member.size = len(content or b"")
                member.type = tarfile.DIRTYPE if content is None and isinstance(name, str) else member.type
                file.addfile(member, io.BytesIO(content or b""))
    return path


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive, match, max_bytes=10**9):
    """Nothing is unpacked, and what was in the folder stays as it was."""
    folder = archive.parent / "out"
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
def test_an_archive_is_unpacked_completely_whatever_its_name(tmp_path, suffix):
    archive = write(tmp_path / f"a.{suffix}", [*MEMBERS.items(), ("empty", None)]).rename(tmp_path / "download")
    names = unpack(archive, tmp_path / "out", max_bytes=300_005)
    assert files_in(tmp_path / "out") == MEMBERS
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == list(names)
    assert names == ("cats", "dogs", "empty", "read me.txt")


def test_files_of_the_same_name_are_replaced_others_stay_and_remains_of_a_killed_process_go(tmp_path):
    archive = write(tmp_path / "a.zip", MEMBERS.items())
    for path, content in {"cats/tom.jpg": b"old", "cats/mine.jpg": b"mine", ".a.zip.unpacking/half.jpg": b"ha"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    unpack(archive, tmp_path, max_bytes=10**9)
    del (found := files_in(tmp_path))["a.zip"]
    assert found == MEMBERS | {"cats/mine.jpg": b"mine"}


@both
def test_what_macos_adds_is_skipped_and_files_get_the_users_permissions(tmp_path, suffix):
    junk = ["__MACOSX/cats/._tom.jpg", "cats/.DS_Store", "cats/._tom.jpg", "._cats/tom.jpg"]
    member = zip_member("./run", stat.S_IFREG | 0o6777) if suffix == "zip" else tarfile.TarInfo("./run")
    if suffix == "tar":
        member.mode = 0o6777
    archive = write(tmp_path / f"a.{suffix}", [(member, b"#!"), *((name, b"junk") for name in junk)])
    unpack(archive, tmp_path, max_bytes=2)
    (tmp_path / "plain").write_bytes(b"")
    assert files_in(tmp_path).keys() == {f"a.{suffix}", "run", "plain"}
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


# Refused archives


@both
@pytest.mark.parametrize("name", ["../evil", "cats/../../evil", "/evil", "cats/..", "..\\evil", "C:evil", "cats\\evil"])
def test_a_member_that_leads_out_of_the_folder_is_refused(tmp_path, suffix, name):
    archive = write(tmp_path / f"a.{suffix}", [("cats/tom.jpg", b"tom"), (name, b"evil")])
    refused(archive, r"a\.\w+' is refused, nothing was unpacked: its member '.*leads out of the folder.*by hand")
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name, "out"]


def test_a_name_with_a_nul_is_refused(tmp_path):
    archive = write(tmp_path / "a.zip", [("evil_.jpg", b"evil")])
    archive.write_bytes(archive.read_bytes().replace(b"evil_", b"evil\0"))
    refused(archive, r"'evil\\x00.jpg' leads out of")
    pax = tarfile.TarInfo("tom.jpg")
    pax.pax_headers = {"path": "evil\0.jpg"}
    refused(write(tmp_path / "a.tar", [(pax, b"")]), r"'evil\\x00.jpg' leads out of")


KINDS = (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK)
SPECIAL = [zip_member("evil", kind | 0o777) for kind in KINDS]
SPECIAL += [tar_member("evil", kind, "tom.jpg") for kind in (b"1", b"2", b"3", b"4", b"6")]  # links, devices, a pipe


@pytest.mark.parametrize("member", SPECIAL)
def test_links_and_devices_are_refused(tmp_path, member):
    suffix = "zip" if isinstance(member, zipfile.ZipInfo) else "tar"
    archive = write(tmp_path / f"a.{suffix}", [("tom.jpg", b"tom"), (member, b"/etc" if suffix == "zip" else b"")])
    refused(archive, "'evil' is a link or a device")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bytes_are_bounded(tmp_path, suffix):
    archive = write(tmp_path / f"a.{suffix}", [("cats/zeros", bytes(2_000_000)), ("cats/more", bytes(2_000_000))])
    refused(archive, "'cats/more' exceeds the 3,999,999 bytes", max_bytes=3_999_999)


def test_a_zip_that_declares_less_than_it_holds_is_refused(tmp_path):
    archive = write(tmp_path / "a.zip", [("zeros", bytes(2_000_000))])
    archive.write_bytes(archive.read_bytes().replace((2_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refused(archive, "Cannot unpack .*Bad CRC", max_bytes=100)


@pytest.mark.parametrize(("offsets", "value", "message"), [((8, 6), 1, "encrypted"), ((10, 8), 9, "not supported")])
def test_a_zip_that_python_cannot_read_is_reported(tmp_path, offsets, value, message):
    archive = write(tmp_path / "a.zip", [("cats/tom.jpg", b"tom")])
    body = bytearray(archive.read_bytes())
    for signature, place in zip((b"PK\1\2", b"PK\3\4"), offsets, strict=True):
        body[body.index(signature) + place] = value  # 9: deflate64, which Windows uses above 2 GB
    archive.write_bytes(body)
    refused(archive, f"Cannot unpack .*{message}.*by hand")


@pytest.mark.parametrize("body", [b"", b"no archive", b"<html>" * 1000, b"PK\3\4 no zip"])
def test_a_file_that_is_no_archive_is_reported(tmp_path, body):
    (tmp_path / "a.zip").write_bytes(body)
    refused(tmp_path / "a.zip", "Cannot unpack '.*a.zip': .*Delete it")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_that_was_cut_anywhere_or_has_a_wrong_checksum_is_reported(tmp_path, suffix):
    archive = write(tmp_path / f"a.{suffix}", [(f"cats/{name}.jpg", NOISE[:700]) for name in "abc"])
    body = archive.read_bytes()
    end = len(body)
    lengths = [*range(0, end, 256), *range(end - 12, end)]
    for length in (0, 100, 600, 1100) if suffix == "tar" else lengths:  # the end of a plain tar says nothing
        archive.write_bytes(body[:length])
        refused(archive, "Cannot unpack .*a.*Delete it and download it again")
    if suffix.startswith("tar."):
        archive.write_bytes(body[:-6] + bytes([body[-6] ^ 1]) + body[-5:])  # a wrong checksum at the end
        refused(archive, "Cannot unpack ")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_with_a_wrong_byte_is_unpacked_or_reported_and_nothing_else(tmp_path, suffix):
    archive = write(tmp_path / f"a.{suffix}", [("cats/a.jpg", NOISE[:700]), ("cats/b.jpg", NOISE[700:900])])
    body, n_reported = archive.read_bytes(), 0
    rng = np.random.default_rng(1)
    for place in rng.choice(min(len(body), 2560), 40, replace=False):
        damaged = bytearray(body)
        damaged[place] ^= rng.integers(1, 256)
        archive.write_bytes(damaged)
        try:
            unpack(archive, tmp_path / "out", max_bytes=10**6)
        except InputError:
            n_reported += 1
    assert n_reported > 6
    assert {path.name for path in tmp_path.iterdir()} == {archive.name, "out"}


def test_a_damaged_header_or_a_second_tar_is_not_taken_for_the_end(tmp_path):
    archive = write(tmp_path / "a.tar", [("cats/tom.jpg", b"tom"), ("cats/felix.jpg", b"felix")])
    body = bytearray(archive.read_bytes())
    archive.write_bytes(body + body)
    refused(archive, "more data follows its end")
    body[1024] ^= 1
    archive.write_bytes(body)
    refused(archive, "more data follows its end")


def test_a_tar_header_that_would_lead_backwards_is_refused(tmp_path):
    back = tarfile.TarInfo("tom.jpg")
    back.pax_headers = {"size": "-1024"}
    refused(write(tmp_path / "back.tar", [(back, b"")]), "'tom.jpg' exceeds")


def test_a_disk_that_cannot_be_written_to_is_not_taken_for_a_damaged_archive(tmp_path):
    with pytest.raises(OSError, match="File name too long"):
        unpack(write(tmp_path / "a.zip", [("x" * 300, b"")]), tmp_path / "out", max_bytes=10)
    assert files_in(tmp_path / "out") == {}
