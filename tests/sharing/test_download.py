"""A download ends with the published file or with a word on what to do; what has arrived is never asked for again."""

import base64
import fcntl
import hashlib
import io
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import replace
from email.utils import formatdate
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from file_server import Answer, FileServer

from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.download import fetch

BODY = np.random.default_rng(0).bytes(100_000)
OTHER = np.random.default_rng(1).bytes(100_000)
TAG = {"ETag": '"one"'}
RIGHT = Answer(BODY, headers=TAG)


def sha256(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.fixture
def server():
    with FileServer() as server:
        yield server


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Nobody waits; the pauses that were asked for are kept."""
    pauses = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "sleep", pauses.append)
    monkeypatch.setattr(transfer, "TIMEOUT_S", (5.0, 5.0))
    return pauses


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"cats/{name}", content)
    return buffer.getvalue()


def killed_at(point, download, folder):
    """Fetch in another process that is killed with kill -9 where it calls a function."""
    module, name = point.rsplit(".", 1)
    code = f"""
import importlib, os, pathlib
from catscans_lib.datasets.cards import Download
from catscans_lib.downloads import fetch
setattr(importlib.import_module({module!r}), {name!r}, lambda *_, **__: os.kill(os.getpid(), 9))
fetch({download!r}, pathlib.Path({str(folder)!r}))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


# What arrives


def test_a_file_is_downloaded_checked_and_not_downloaded_again(server, tmp_path):
    url = server.put("/a/cats.bin", RIGHT)
    download = Download(url, f"md5:{hashlib.md5(BODY).hexdigest()}", len(BODY), "sub")
    first, second = fetch(download, tmp_path), fetch(download, tmp_path)
    assert first.path.read_bytes() == BODY
    assert (first.path, first.was_there, first.sha256) == (tmp_path / "sub/cats.bin", False, None)
    assert (second.path, second.was_there) == (first.path, True)
    assert len(server.asked["/a/cats.bin"]) == 1
    assert left_in(tmp_path) == ["cats.bin"]


def test_a_file_without_a_published_checksum_comes_with_the_one_found(server, tmp_path):
    url = server.put("/cats.bin", RIGHT)
    found = [fetch(Download(url), tmp_path) for _ in range(2)]
    assert [f"sha256:{each.sha256}" for each in found] == [sha256(BODY)] * 2
    assert [each.was_there for each in found] == [False, True]


def test_an_empty_file_arrives(server, tmp_path):
    assert fetch(Download(server.put("/none.csv", Answer())), tmp_path).path.read_bytes() == b""


@pytest.mark.parametrize("length", ["chunked", "none"])
def test_a_file_of_unknown_size_arrives(server, tmp_path, length):
    url = server.put("/cats.bin", Answer(BODY, length=length))
    assert fetch(Download(url, sha256(BODY)), tmp_path).path.read_bytes() == BODY


def test_a_packed_file_stays_packed_whatever_the_server_calls_it(server, tmp_path):
    url = server.put("/cats.gz", Answer(BODY, headers={"Content-Encoding": "gzip"}))
    assert fetch(Download(url), tmp_path).path.read_bytes() == BODY
    assert server.asked["/cats.gz"][0]["Accept-Encoding"] == "identity"
    assert server.asked["/cats.gz"][0]["User-Agent"].startswith("catscans")


def test_a_file_put_there_by_hand_is_taken_if_it_is_right_and_replaced_if_not(server, tmp_path):
    download = Download(server.put("/cats.bin", RIGHT), sha256(BODY))
    (tmp_path / "cats.bin").write_bytes(BODY)
    (tmp_path / "cats.bin.part").write_bytes(BODY[:10])
    assert fetch(download, tmp_path).was_there
    assert server.asked["/cats.bin"] == []
    assert left_in(tmp_path) == ["cats.bin"]
    (tmp_path / "cats.bin").write_bytes(OTHER)
    assert not fetch(download, tmp_path).was_there
    assert (tmp_path / "cats.bin").read_bytes() == BODY


# Resumed


def test_a_cut_download_is_gone_on_with_where_it_was_cut(server, tmp_path, pauses):
    cut = Answer(BODY, headers=TAG, cut_after=40_000)
    url = server.put("/cats.bin", cut, cut, RIGHT)
    assert fetch(Download(url), tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin") == [None, "bytes=40000-", "bytes=80000-"]
    assert [headers.get("If-Range") for headers in server.asked["/cats.bin"]] == [None, '"one"', '"one"']
    assert len(pauses) == 2


def test_tries_are_counted_anew_as_long_as_something_arrives(server, tmp_path):
    cuts = [Answer(BODY, headers=TAG, cut_after=10_000)] * 9
    url = server.put("/cats.bin", *cuts, RIGHT)
    assert fetch(Download(url), tmp_path).path.read_bytes() == BODY
    assert len(server.asked["/cats.bin"]) == 10 > len(transfer.PAUSES_S) + 1


@pytest.mark.parametrize("length", ["chunked", "given"])
def test_a_server_that_stays_away_is_given_up_and_the_half_file_serves_the_next_call(server, tmp_path, pauses, length):
    cut = Answer(BODY, headers=TAG, cut_after=40_000, length=length)
    download = Download(server.put("/cats.bin", cut, Answer(resets=True)), n_bytes=len(BODY))
    with pytest.raises(InputError, match=r"tried 5 times: .*40,000 of 100,000 bytes are in .*cats.bin.part'. Run it"):
        fetch(download, tmp_path)
    assert len(server.asked["/cats.bin"]) == 5
    assert pauses == list(transfer.PAUSES_S)
    assert left_in(tmp_path) == [".cats.bin.download", "cats.bin.part"]
    server.put("/cats.bin", RIGHT)
    assert fetch(download, tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin") == ["bytes=40000-"]


def test_a_file_that_ends_with_its_connection_is_whole_only_at_its_published_size(server, tmp_path):
    url = server.put("/cats.bin", Answer(BODY, headers=TAG, length="none", cut_after=30_000), RIGHT)
    assert fetch(Download(url, n_bytes=len(BODY)), tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin") == [None, "bytes=30000-"]


def test_a_silent_server_counts_as_cut(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT_S", (5.0, 0.1))
    url = server.put("/cats.bin", Answer(BODY, headers=TAG, stall_after=40_000), RIGHT)
    assert fetch(Download(url), tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin") == [None, "bytes=40000-"]


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    whole = Answer(BODY, headers=TAG, has_ranges=False)
    url = server.put("/cats.bin", Answer(BODY, headers=TAG, has_ranges=False, cut_after=40_000), whole)
    assert fetch(Download(url, sha256(BODY)), tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin") == [None, "bytes=40000-"]


def test_an_answer_that_begins_elsewhere_is_not_appended(server, tmp_path):
    url = server.put("/cats.bin", Answer(BODY, headers=TAG, cut_after=40_000), Answer(BODY, status=206), RIGHT)
    assert fetch(Download(url), tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin") == [None, "bytes=40000-", None]


@pytest.mark.parametrize("minds_if_range", [True, False])
def test_a_file_that_changes_between_two_requests_begins_anew(server, tmp_path, minds_if_range):
    changed = Answer(OTHER, headers={"ETag": '"two"'}, minds_if_range=minds_if_range)
    url = server.put("/cats.bin", Answer(BODY, headers=TAG, cut_after=40_000), changed)
    assert fetch(Download(url), tmp_path).path.read_bytes() == OTHER


def test_a_file_that_became_shorter_begins_anew(server, tmp_path):
    url = server.put("/cats.bin", Answer(BODY, headers=TAG, cut_after=40_000), Answer(OTHER[:9], headers=TAG))
    assert fetch(Download(url), tmp_path).path.read_bytes() == OTHER[:9]  # 416
    assert server.ranges("/cats.bin") == [None, "bytes=40000-", None]


def test_a_weak_tag_is_compared_but_not_sent(server, tmp_path):
    weak = {"ETag": 'W/"one"', "Last-Modified": formatdate(0, usegmt=True)}
    url = server.put("/cats.bin", Answer(BODY, headers=weak, cut_after=40_000), Answer(BODY, headers=weak))
    fetch(Download(url), tmp_path)
    assert [headers.get("If-Range") for headers in server.asked["/cats.bin"]] == [None, weak["Last-Modified"]]


def test_a_half_file_of_unknown_descent_is_used_only_if_a_checksum_will_judge_it(server, tmp_path):
    url = server.put("/cats.bin", Answer(BODY))
    (tmp_path / "cats.bin.part").write_bytes(BODY[:60_000])
    fetch(Download(url, sha256(BODY)), tmp_path / "")
    (tmp_path / "cats.bin").unlink()
    (tmp_path / "cats.bin.part").write_bytes(OTHER[:60_000])
    assert fetch(Download(url), tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin") == ["bytes=60000-", None]


@pytest.mark.parametrize("half", [OTHER[:60_000], BODY + b"more"])
def test_a_half_file_that_is_not_the_beginning_of_the_file_is_thrown_away(server, tmp_path, half):
    url = server.put("/cats.bin", RIGHT)
    (tmp_path / "cats.bin.part").write_bytes(half)
    assert fetch(Download(url, sha256(BODY)), tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin")[-1] is None


def test_a_half_file_longer_than_the_file_is_not_asked_to_go_on(server, tmp_path):
    url = server.put("/cats.bin", Answer(BODY, headers=TAG, cut_after=40_000), Answer(status=404))
    with pytest.raises(InputError):
        fetch(Download(url), tmp_path)
    (tmp_path / "cats.bin.part").write_bytes(BODY + b"more")
    server.put("/cats.bin", RIGHT)
    assert fetch(Download(url), tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin") == [None]


# Killed


def test_a_download_killed_in_its_middle_asks_only_for_the_rest(server, tmp_path):
    download = Download(server.put("/cats.bin", Answer(BODY, headers=TAG, stall_after=1_000)), sha256(BODY))
    imports = "import pathlib; from catscans_lib.downloads import Download, fetch"
    code = f"{imports}; fetch({download!r}, pathlib.Path({str(tmp_path)!r}))"
    part = tmp_path / "cats.bin.part"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        assert server.has_stalled.wait(30)
        for _ in range(1000):  # until it has arrived
            if part.exists() and part.stat().st_size == 1_000:
                break
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "cats.bin").exists()
    server.put("/cats.bin", RIGHT)
    assert fetch(download, tmp_path).path.read_bytes() == BODY
    assert server.ranges("/cats.bin") == ["bytes=1000-"]
    assert left_in(tmp_path) == ["cats.bin"]


@pytest.mark.parametrize(("length", "has_links"), [("given", True), ("given", False), ("chunked", True)])
def test_a_download_killed_while_it_is_checked_is_not_downloaded_again(server, tmp_path, length, has_links):
    download = Download(server.put("/cats.bin", Answer(BODY, length=length)), sha256(BODY))
    killed_at("pooch.core.hash_matches", download, tmp_path)
    if not has_links:  # leave what such a file system would have been left with
        (second_name,) = tmp_path.glob("tmp*")
        second_name.unlink()
        (tmp_path / "cats.bin.part").rename(second_name)
    assert not (tmp_path / "cats.bin").exists()
    assert fetch(download, tmp_path).path.read_bytes() == BODY
    assert len(server.asked["/cats.bin"]) == 1
    assert left_in(tmp_path) == ["cats.bin"]


def test_a_download_stopped_by_hand_while_it_is_checked_is_not_downloaded_again(server, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    download = Download(server.put("/cats.bin", RIGHT), sha256(BODY))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pooch.core.hash_matches", stop)
        fetch(download, tmp_path)
    assert left_in(tmp_path) == [".cats.bin.download", "cats.bin.part"]
    assert fetch(download, tmp_path).path.read_bytes() == BODY
    assert len(server.asked["/cats.bin"]) == 1


def test_a_file_system_without_links_serves_as_well(server, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    assert fetch(Download(server.put("/cats.bin", RIGHT), sha256(BODY)), tmp_path).path.read_bytes() == BODY
    assert left_in(tmp_path) == ["cats.bin"]


@pytest.mark.parametrize("point", ["catscans_lib.sharing.archives._write", "catscans_lib.sharing.archives._move"])
def test_unpacking_that_was_killed_is_done_again_from_the_archive_that_is_there(server, tmp_path, point):
    body = zipped(tom=b"cat", felix=b"cat")
    download = Download(server.put("/cats.zip", Answer(body)), sha256(body), unpack=True)
    killed_at(point, download, tmp_path)
    assert not (tmp_path / "cats").exists()
    fetch(download, tmp_path)
    assert len(server.asked["/cats.zip"]) == 1
    assert left_in(tmp_path) == [".cats.zip.download", "felix", "tom"]


def test_two_processes_do_not_download_one_file(server, tmp_path):
    url = server.put("/cats.bin", RIGHT)
    with (tmp_path / ".cats.bin.download").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="Another process is downloading '.*cats.bin'. Wait"):
            fetch(Download(url), tmp_path)
    assert fetch(Download(url), tmp_path).path.read_bytes() == BODY


# Refused


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 206])
def test_an_answer_that_will_not_change_is_told_at_once(server, tmp_path, status):
    url = server.put("/cats.bin", Answer(BODY, status=status))
    with pytest.raises(InputError, match=rf"'{url}': the server answers {status}.*home page.*CATSCANS_MIRROR"):
        fetch(Download(url), tmp_path)
    assert len(server.asked["/cats.bin"]) == 1
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_server_is_asked_again_after_the_pause_it_names(server, tmp_path, pauses, status):
    busy = [Answer(status=status, headers={"Retry-After": after}) for after in ("7", "86400", "soon")]
    url = server.put("/cats.bin", *busy, RIGHT)
    assert fetch(Download(url), tmp_path).path.read_bytes() == BODY
    assert pauses == [7.0, transfer.MAX_PAUSE_S, transfer.PAUSES_S[2]]


def test_a_pause_may_be_named_as_a_date(server, tmp_path, pauses):
    busy = Answer(status=503, headers={"Retry-After": formatdate(time.time() + 80, usegmt=True)})
    fetch(Download(server.put("/cats.bin", busy, RIGHT)), tmp_path)
    assert 1 < pauses[0] <= 80


def test_a_server_that_stays_busy_is_given_up(server, tmp_path, pauses):
    with pytest.raises(InputError, match="tried 5 times: the server answers 503. 0 bytes are in"):
        fetch(Download(server.put("/cats.bin", Answer(status=503))), tmp_path)
    assert pauses == list(transfer.PAUSES_S)


def test_what_the_system_says_of_a_connection_is_passed_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PAUSES_S", ())
    with FileServer() as gone:
        url = gone.url + "/cats.bin"
    with pytest.raises(InputError, match="tried 1 times: Connection refused"):
        fetch(Download(url), tmp_path)


def test_another_checksum_is_tried_once_more_and_then_told(server, tmp_path):
    url = server.put("/cats.bin", Answer(OTHER), RIGHT)
    assert fetch(Download(url, sha256(BODY)), tmp_path).path.read_bytes() == BODY
    url = server.put("/dogs.bin", Answer(OTHER))
    with pytest.raises(InputError, match=f"expected {sha256(BODY)} but got {sha256(OTHER)[7:]}.*home page"):
        fetch(Download(url, sha256(BODY)), tmp_path)
    assert server.ranges("/dogs.bin") == [None, None]
    assert left_in(tmp_path) == ["cats.bin"]


@pytest.mark.parametrize("length", ["given", "chunked"])
def test_without_a_checksum_the_published_size_is_what_is_checked(server, tmp_path, length):
    url = server.put("/cats.bin", Answer(BODY, length=length))
    with pytest.raises(InputError, match="has 100,000 bytes, the published file 99,999"):
        fetch(Download(url, n_bytes=99_999), tmp_path)
    assert not (tmp_path / "cats.bin").exists()
    assert (tmp_path / "cats.bin.part").exists() == (length == "chunked")  # else it was told before it was downloaded
    (tmp_path / "cats.bin").write_bytes(BODY)
    with pytest.raises(InputError, match="cats.bin' has 100,000 bytes, the published file 99,999"):
        fetch(Download(url, n_bytes=99_999), tmp_path)


def test_a_web_page_in_place_of_the_file_is_refused(server, tmp_path):
    url = server.put("/cats.bin", Answer(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(InputError, match="the server sends a web page"):
        fetch(Download(url), tmp_path)


@pytest.mark.parametrize(("room", "needed"), [(299_999, "300,000"), (0, "300,000")])
def test_a_file_that_finds_no_room_is_not_begun(server, tmp_path, monkeypatch, room, needed):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: SimpleNamespace(free=room))
    download = Download(server.put("/cats.zip", RIGHT), unpack=True, n_bytes_unpacked=200_000)
    with pytest.raises(InputError, match=rf"takes {needed} bytes, and '.*' has {room:,} free"):
        fetch(download, tmp_path)
    assert left_in(tmp_path) == []


def test_only_the_rest_of_a_half_file_needs_room(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: SimpleNamespace(free=40_000))
    (tmp_path / "cats.bin.part").write_bytes(BODY[:60_000])
    assert fetch(Download(server.put("/cats.bin", RIGHT), sha256(BODY)), tmp_path).path.read_bytes() == BODY


def test_a_disk_that_cannot_be_written_to_is_told(server, tmp_path):
    (tmp_path / "sub").write_text("a file")
    with pytest.raises(InputError, match="Cannot write to '.*sub': File exists"):
        fetch(Download(server.put("/cats.bin", RIGHT), folder="sub"), tmp_path)


# Addresses


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/cats.bin", "file:///etc/hosts", "cats.bin", "http:///cats.bin"])
def test_only_web_addresses_are_read(tmp_path, url):
    with pytest.raises(InputError, match="has to begin with http"):
        fetch(Download(url), tmp_path)


@pytest.mark.parametrize("url", ["http://[x/cats.bin", "http://a..b/cats.bin", "http://127.0.0.1:99999999/cats.bin"])
def test_an_address_that_cannot_be_one_is_refused_without_a_second_try(tmp_path, pauses, url):
    with pytest.raises(InputError, match="Cannot download 'http://"):
        fetch(Download("http://127.0.0.1/cats.bin"), tmp_path, mirror=url)
    assert pauses == []


def test_redirects_are_followed_but_not_away_from_the_web(server, tmp_path):
    server.put("/cats.bin", RIGHT)
    url = server.put("/old.bin", Answer(status=302, headers={"Location": "/cats.bin"}))
    assert fetch(Download(url), tmp_path).path == tmp_path / "old.bin"
    for target in ("ftp://127.0.0.1/cats.bin", "file:///etc/hosts"):
        url = server.put("/new.bin", Answer(status=302, headers={"Location": target}))
        with pytest.raises(InputError, match=f"leads to '{target}'"):
            fetch(Download(url), tmp_path)
    url = server.put("/circle.bin", Answer(status=302, headers={"Location": "/circle.bin"}))
    with pytest.raises(InputError, match="TooManyRedirects"):
        fetch(Download(url), tmp_path)


@pytest.mark.parametrize(
    ("start", "target", "is_followed"),
    [("https", "http", False), ("http", "https", True), ("http", "http", True), ("https", "https", True)],
)
def test_a_redirect_may_not_take_the_encryption_away(start, target, is_followed):
    response = requests.Response()
    response.url, response.status_code = f"{start}://u:secret@a.b/c", 302
    response.headers["Location"] = f"{target}://a.b/d?key=secret"
    if is_followed:
        transfer.refuse_other_schemes(response)
    else:
        with pytest.raises(InputError, match="'https://a.b/c' leads to 'http://a.b/d', which is not as safe"):
            transfer.refuse_other_schemes(response)


def test_a_mirror_has_the_file_under_its_name_and_the_checksum_still_applies(server, tmp_path):
    server.put("/mirror/cats%20%231.bin", RIGHT)
    download = Download("https://nowhere.invalid/content?a=b", sha256(BODY), name="cats #1.bin")
    assert fetch(download, tmp_path, mirror=f"{server.url}/mirror/").path == tmp_path / "cats #1.bin"
    server.put("/mirror/dogs.bin", Answer(OTHER))
    with pytest.raises(InputError, match="another checksum"):
        fetch(Download("https://nowhere.invalid/dogs.bin", sha256(BODY)), tmp_path, mirror=f"{server.url}/mirror")


def test_a_half_file_is_gone_on_with_from_a_mirror_if_there_is_a_checksum(server, tmp_path):
    url = server.put("/cats.bin", Answer(BODY, headers=TAG, cut_after=40_000), Answer(status=410))
    server.put("/mirror/cats.bin", Answer(BODY, headers={"ETag": '"of the mirror"'}))
    with pytest.raises(InputError):
        fetch(Download(url, sha256(BODY)), tmp_path)
    fetch(Download(url, sha256(BODY)), tmp_path, mirror=f"{server.url}/mirror")
    assert server.ranges("/mirror/cats.bin") == ["bytes=40000-"]
    assert "If-Range" not in server.asked["/mirror/cats.bin"][0]


def test_user_and_password_are_used_but_neither_told_nor_kept(server, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(transfer, "PAUSES_S", ())
    url = server.put("/cats.bin?key=secret2", Answer(BODY, headers=TAG, cut_after=40_000))
    url = url.replace("//", "//me:secret1@")
    with pytest.raises(InputError) as error:
        fetch(Download(url), tmp_path)
    login = base64.b64encode(b"me:secret1").decode()
    assert server.asked["/cats.bin?key=secret2"][0]["Authorization"] == f"Basic {login}"
    told = str(error.value) + (tmp_path / ".cats.bin.download").read_text() + "".join(capfd.readouterr())
    assert "40,000" in told
    assert "secret" not in told


def test_a_download_says_what_is_wrong_with_its_description():
    with pytest.raises(ValueError, match="No checksum"):
        Download("https://a.b/c", "md5:123")
    for url in ("https://a.b/", "https://a.b/..", "https://a.b/c%2Fd", "https://a.b/.hidden"):
        with pytest.raises(ValueError, match="No file name"):
            Download(url)
    assert Download("https://a.b/big%20cats.zip?download=1").file_name == "big cats.zip"


# Unpacked


def test_an_archive_is_unpacked_once_and_deleted(server, tmp_path):
    body = zipped(tom=b"cat")
    download = Download(server.put("/cats.zip", Answer(body)), sha256(body), folder="sub", unpack=True)
    first, second = fetch(download, tmp_path), fetch(download, tmp_path)
    assert (first.path, first.was_there, second.path, second.was_there) == (tmp_path / "sub", False, first.path, True)
    assert (tmp_path / "sub/cats/tom").read_bytes() == b"cat"
    assert len(server.asked["/cats.zip"]) == 1
    assert left_in(tmp_path) == [".cats.zip.download", "tom"]
    assert fetch(replace(download, unpack=False), tmp_path).path.read_bytes() == body


def test_an_archive_without_a_checksum_is_known_by_the_one_found(server, tmp_path):
    body = zipped(tom=b"cat")
    download = Download(server.put("/cats.zip", Answer(body)), unpack=True)
    assert [f"sha256:{fetch(download, tmp_path).sha256}" for _ in range(2)] == [sha256(body)] * 2


def test_an_archive_is_downloaded_again_if_it_was_replaced_or_what_was_in_it_is_gone(server, tmp_path):
    for content in (b"cat", b"dog"):
        body = zipped(tom=content)
        download = Download(server.put("/cats.zip", Answer(body)), sha256(body), unpack=True)
        fetch(download, tmp_path)
        assert (tmp_path / "cats/tom").read_bytes() == content
    shutil.rmtree(tmp_path / "cats")
    assert not fetch(download, tmp_path).was_there
    assert (tmp_path / "cats/tom").read_bytes() == b"dog"


def test_an_archive_put_there_by_hand_is_unpacked_and_deleted(server, tmp_path):
    body = zipped(tom=b"cat")
    (tmp_path / "cats.zip").write_bytes(body)
    fetched = fetch(Download(server.put("/cats.zip", Answer(status=404)), sha256(body), unpack=True), tmp_path)
    assert fetched.was_there
    assert left_in(tmp_path) == [".cats.zip.download", "tom"]


def test_an_archive_that_is_refused_stays_and_nothing_of_it_is_unpacked(server, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../evil"))
    download = Download(server.put("/cats.tgz", Answer(buffer.getvalue())), folder="sub", unpack=True)
    with pytest.raises(InputError, match=r"cats.tgz' is refused.*'../evil'"):
        fetch(download, tmp_path)
    assert left_in(tmp_path) == ["cats.tgz"]


def test_the_bound_on_unpacking_is_kept_and_its_room_is_asked_for(server, tmp_path, monkeypatch):
    body = zipped(tom=b"c" * 1000)
    download = Download(server.put("/cats.zip", Answer(body)), unpack=True, n_bytes_unpacked=999)
    with pytest.raises(InputError, match="exceeds the number of bytes"):
        fetch(download, tmp_path)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: SimpleNamespace(free=998))
    with pytest.raises(InputError, match="To unpack 'cats.zip' takes 999 bytes"):
        fetch(download, tmp_path)


# Shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "progress", "is_shown"),
    [(Terminal, None, True), (Terminal, False, False), (io.StringIO, None, False), (io.StringIO, True, True)],
)
def test_a_bar_that_begins_at_what_is_there_is_shown_on_a_terminal_or_on_demand(
    server, tmp_path, monkeypatch, stream, progress, is_shown
):
    monkeypatch.setattr(sys, "stderr", stream())
    (tmp_path / "cats.bin.part").write_bytes(BODY[:60_000])
    fetch(Download(server.put("/cats.bin", RIGHT), sha256(BODY)), tmp_path, progress=progress)
    shown = sys.stderr.getvalue()
    assert shown.startswith("\rcats.bin: 60.0kB") == is_shown
    assert ("100%" in shown) == is_shown


def test_a_download_that_nobody_looks_at_says_nothing(server, tmp_path):
    url = server.put("/cats.bin", Answer(status=503), Answer(OTHER), RIGHT)
    code = f"""
import pathlib
from catscans_lib.sharing import transfer
from catscans_lib.downloads import Download, fetch
transfer.PAUSES_S = [0]
fetch({Download(url, sha256(BODY))!r}, pathlib.Path({str(tmp_path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_cards_import_downloads_without_the_libraries_it_is_built_on():
    code = "import sys, catscans_lib.downloads; sys.exit(bool({'pooch', 'requests', 'tqdm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
