"""A download ends with the published file or with a message on what to do; nothing that arrived is requested again."""

import base64
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest
import requests
from faulting import killed_at
from file_server import Answer, FileServer

from catscans_lib import paths
from catscans_lib.datasets.cards import Download
from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.transfer import fetch

BODY = np.random.default_rng(0).bytes(100_000)
OTHER = np.random.default_rng(1).bytes(100_000)
TAG = {"ETag": '"one"'}
RIGHT = Answer(BODY, headers=TAG)
CUT = Answer(BODY, headers=TAG, cut_after=40_000)


def sha256(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.fixture
def server():
    with FileServer() as server:
        yield server


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Nobody waits; the pauses are noted."""
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


def killed(point, download, folder):
    """Fetch in another process that kills itself where it would call a function."""
    imports = "import pathlib; from catscans_lib.sharing.transfer import Download, fetch"
    killed_at(f"catscans_lib.sharing.{point}", f"{imports}; fetch({download!r}, pathlib.Path({str(folder)!r}))")


# Complete files


def test_a_file_is_downloaded_checked_and_not_downloaded_again(server, tmp_path):
    download = Download(server.put("/a/cats.bin", RIGHT), f"md5:{hashlib.md5(BODY).hexdigest()}", len(BODY), "sub")
    for _ in range(2):
        fetch(download, tmp_path)
    assert (tmp_path / "sub/cats.bin").read_bytes() == BODY
    assert len(server.asked["/a/cats.bin"]) == 1
    assert left_in(tmp_path) == ["cats.bin"]


@pytest.mark.parametrize(("body", "length"), [(b"", "given"), (BODY, "chunked"), (BODY, "none")])
def test_an_empty_file_and_files_of_unknown_size_are_downloaded(server, tmp_path, body, length):
    fetch(Download(server.put("/cats.bin", Answer(body, length=length)), sha256(body)), tmp_path)
    assert (tmp_path / "cats.bin").read_bytes() == body


def test_a_compressed_file_stays_compressed_even_if_the_server_calls_that_an_encoding(server, tmp_path):
    fetch(Download(server.put("/cats.gz", Answer(BODY, headers={"Content-Encoding": "gzip"}))), tmp_path)
    assert (tmp_path / "cats.gz").read_bytes() == BODY
    assert server.asked["/cats.gz"][0]["Accept-Encoding"] == "identity"
    assert server.asked["/cats.gz"][0]["User-Agent"].startswith("catscans")


def test_a_file_put_there_by_hand_is_used_if_it_is_the_published_one_and_replaced_if_not(server, tmp_path):
    download = Download(server.put("/cats.bin", RIGHT), sha256(BODY))
    (tmp_path / "cats.bin").write_bytes(BODY)
    (tmp_path / "cats.bin.part").write_bytes(BODY[:10])
    fetch(download, tmp_path)
    assert server.asked["/cats.bin"] == []
    assert left_in(tmp_path) == ["cats.bin"]
    (tmp_path / "cats.bin").write_bytes(OTHER)
    fetch(download, tmp_path)
    assert (tmp_path / "cats.bin").read_bytes() == BODY


# Resumed downloads


@pytest.mark.parametrize(
    ("answers", "offsets"),
    [
        ([Answer(BODY, headers=TAG, cut_after=10_000)] * 9, range(10_000, 100_000, 10_000)),
        (
            [Answer(BODY, headers=TAG, length="none", cut_after=30_000)],
            [30_000],
        ),  # only the published size tells that it is cut
        ([Answer(BODY, headers=TAG, stall_after=40_000)], [40_000]),
    ],
    ids=["as often as new bytes arrive", "the end of the connection is the end of the file", "nothing more comes"],
)
def test_a_cut_download_is_resumed(server, tmp_path, monkeypatch, answers, offsets):
    monkeypatch.setattr(transfer, "TIMEOUT_S", (5.0, 0.5))
    fetch(Download(server.put("/cats.bin", *answers, RIGHT), sha256(BODY), len(BODY)), tmp_path)
    assert (tmp_path / "cats.bin").read_bytes() == BODY
    assert server.ranges("/cats.bin") == [None, *(f"bytes={offset}-" for offset in offsets)]


@pytest.mark.parametrize("length", ["chunked", "given"])
def test_after_too_many_failures_the_partial_file_is_kept_for_the_next_call(server, tmp_path, pauses, length):
    cut = Answer(BODY, headers=TAG, cut_after=40_000, length=length)
    download = Download(server.put("/cats.bin", cut, Answer(resets=True)), sha256(BODY))
    with pytest.raises(InputError, match=r"after 5 retries: .*40,000 bytes are in .*cats.bin.part'. Run the command"):
        fetch(download, tmp_path)
    assert len(server.asked["/cats.bin"]) == 6
    assert pauses == [2, 4, 8, 16, 32]
    assert left_in(tmp_path) == ["cats.bin.part"]
    server.put("/cats.bin", RIGHT)
    fetch(download, tmp_path)
    assert (tmp_path / "cats.bin").read_bytes() == BODY
    assert server.ranges("/cats.bin") == ["bytes=40000-"]


@pytest.mark.parametrize(
    ("then", "ranges"),
    [
        ([Answer(BODY, has_ranges=False)], [None, "bytes=40000-"]),
        ([Answer(BODY, status=206), RIGHT], [None, "bytes=40000-", None]),
    ],
    ids=["no ranges", "answer from another offset"],
)
def test_bytes_from_another_place_are_never_appended(server, tmp_path, then, ranges):
    fetch(Download(server.put("/cats.bin", CUT, *then), sha256(BODY)), tmp_path)
    assert (tmp_path / "cats.bin").read_bytes() == BODY
    assert server.ranges("/cats.bin") == ranges


def test_without_a_checksum_a_file_is_requested_anew_and_an_archive_is_resumed(server, tmp_path):
    fetch(Download(server.put("/cats.bin", CUT, RIGHT)), tmp_path)
    assert server.ranges("/cats.bin") == [None, None]
    body = zipped(tom=BODY)
    cut = Answer(body, cut_after=40_000)
    fetch(Download(server.put("/cats.zip", cut, Answer(body)), unpack=True), tmp_path)
    assert server.ranges("/cats.zip") == [None, "bytes=40000-"]
    assert (tmp_path / "cats/tom").read_bytes() == BODY


@pytest.mark.parametrize("body", [BODY, BODY + b"more", OTHER])
def test_a_partial_file_that_is_complete_or_another_one_is_checked(server, tmp_path, body):
    (tmp_path / "cats.bin.part").write_bytes(body)
    download = Download(server.put("/cats.bin", RIGHT), sha256(BODY))
    if body != BODY:
        with pytest.raises(InputError, match="is not the published file .* and was deleted"):
            fetch(download, tmp_path)
        assert left_in(tmp_path) == []
    fetch(download, tmp_path)
    assert (tmp_path / "cats.bin").read_bytes() == BODY


# Killed processes


def test_after_a_kill_in_the_middle_only_the_rest_is_requested(server, tmp_path):
    download = Download(server.put("/cats.bin", Answer(BODY, headers=TAG, stall_after=1_000)), sha256(BODY))
    imports = "import pathlib; from catscans_lib.sharing.transfer import Download, fetch"
    part = tmp_path / "cats.bin.part"
    code = f"{imports}; fetch({download!r}, pathlib.Path({str(tmp_path)!r}))"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        assert server.has_stalled.wait(60)
        while not part.exists() or part.stat().st_size < 1_000:
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "cats.bin").exists()
    server.put("/cats.bin", RIGHT)
    fetch(download, tmp_path)
    assert (tmp_path / "cats.bin").read_bytes() == BODY
    assert server.ranges("/cats.bin") == ["bytes=1000-"]
    assert left_in(tmp_path) == ["cats.bin"]


@pytest.mark.parametrize("point", ["transfer.is_published", "archives._extract", "archives._move"])
def test_after_a_kill_during_the_check_or_the_unpacking_no_byte_is_requested_again(server, tmp_path, point):
    body = zipped(tom=b"cat", felix=b"cat")
    download = Download(server.put("/cats.zip", Answer(body, length="chunked")), sha256(body), unpack=True)
    killed(point, download, tmp_path)
    assert not (tmp_path / "cats").exists()
    fetch(download, tmp_path)
    assert server.ranges("/cats.zip") == [None, f"bytes={len(body)}-"][: 1 + (point == "transfer.is_published")]
    assert left_in(tmp_path) == [".cats.zip.unpacked", "felix", "tom"]


def test_two_processes_never_download_the_same_file(server, tmp_path):
    download = Download(server.put("/cats.bin", RIGHT))
    refused = pytest.raises(InputError, match="being downloaded by process .* Wait")
    with paths.locked(tmp_path / ".cats.bin.lock"), refused:
        fetch(download, tmp_path)
    fetch(download, tmp_path)
    assert (tmp_path / "cats.bin").read_bytes() == BODY


# Failures


@pytest.mark.parametrize("status", [401, 404, 204, 206])
def test_an_answer_that_retries_cannot_change_is_reported_at_once(server, tmp_path, status):
    url = server.put("/cats.bin", Answer(BODY, status=status))
    with pytest.raises(InputError, match=rf"'{url}': the server answers {status}.*home page.*CATSCANS_MIRROR"):
        fetch(Download(url), tmp_path)
    assert len(server.asked["/cats.bin"]) == 1
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_server_is_asked_again(server, tmp_path, pauses, status):
    fetch(Download(server.put("/cats.bin", *[Answer(status=status)] * 4, RIGHT)), tmp_path)
    assert pauses == [2, 4, 8, 16]


def test_the_message_says_why_there_is_no_connection(server, tmp_path):
    with FileServer() as gone:
        url = gone.url + "/cats.bin"
    with pytest.raises(InputError, match="after 5 retries: Connection refused"):
        fetch(Download(url), tmp_path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(BODY), "not the published file .99,999 bytes. and was deleted"),
        (Answer(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}), "the server sends a web page"),
    ],
)
def test_without_a_checksum_another_size_or_a_web_page_is_refused(server, tmp_path, answer, message):
    with pytest.raises(InputError, match=message):
        fetch(Download(server.put("/cats.bin", answer), n_bytes=99_999), tmp_path)
    assert left_in(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_reported(server, tmp_path):
    (tmp_path / "sub").write_text("a file")
    with pytest.raises(InputError, match="Cannot write to '.*sub': File exists"):
        fetch(Download(server.put("/cats.bin", RIGHT), folder="sub"), tmp_path)


# URLs


@pytest.mark.parametrize(
    "url", ["ftp://a.b", "file:///etc", "cats", "http:///cats", "http://[x", "http://a.b:99999999"]
)
def test_only_valid_web_addresses_are_accepted(tmp_path, pauses, url):
    with pytest.raises(InputError, match=r"Cannot download '.*cats.bin'.*(must begin with http|publisher)"):
        fetch(Download("http://127.0.0.1/cats.bin"), tmp_path, mirror=url)
    assert pauses == []


def test_redirects_are_followed_but_not_to_other_schemes_or_for_ever(server, tmp_path):
    server.put("/cats.bin", RIGHT)
    fetch(Download(server.put("/old.bin", Answer(status=302, headers={"Location": "/cats.bin"}))), tmp_path)
    assert (tmp_path / "old.bin").read_bytes() == BODY
    url = server.put("/new.bin", Answer(status=302, headers={"Location": "file:///etc/hosts"}))
    with pytest.raises(InputError, match="redirects to 'file:///etc/hosts'"):
        fetch(Download(url), tmp_path)
    url = server.put("/circle.bin", Answer(status=302, headers={"Location": "/circle.bin"}))
    with pytest.raises(InputError, match="TooManyRedirects"):
        fetch(Download(url), tmp_path)


@pytest.mark.parametrize(("start", "target"), [("https", "http"), ("http", "https"), ("http", "http")])
def test_a_redirect_must_not_leave_https(start, target):
    response = requests.Response()
    response.url, response.status_code = f"{start}://u:secret@a.b/c", 302
    response.headers["Location"] = f"{target}://a.b/d?key=secret"
    refused = pytest.raises(InputError, match="'https://a.b/c' redirects to 'http://a.b/d', which is less secure")
    with refused if (start, target) == ("https", "http") else nullcontext():
        transfer.refuse_unsafe_redirects(response)


def test_a_mirror_has_the_file_under_its_name_and_the_checksum_still_applies(server, tmp_path):
    server.put("/mirror/cats%20%231.bin", RIGHT)
    download = Download("https://no.invalid/x?a=b", sha256(BODY), name="cats #1.bin")
    fetch(download, tmp_path, mirror=f"{server.url}/mirror/")
    assert (tmp_path / "cats #1.bin").read_bytes() == BODY
    server.put("/mirror/dogs.bin", Answer(OTHER))
    with pytest.raises(InputError, match="not the published file"):
        fetch(Download("https://no.invalid/dogs.bin", sha256(BODY)), tmp_path, mirror=f"{server.url}/mirror")


def test_a_partial_file_is_resumed_from_a_mirror_if_there_is_a_checksum(server, tmp_path):
    download = Download(server.put("/cats.bin", CUT, Answer(status=410)), sha256(BODY))
    server.put("/mirror/cats.bin", RIGHT)
    with pytest.raises(InputError):
        fetch(download, tmp_path)
    fetch(download, tmp_path, mirror=f"{server.url}/mirror")
    assert server.ranges("/mirror/cats.bin") == ["bytes=40000-"]


def test_user_and_password_are_used_but_never_printed(server, tmp_path, capfd):
    url = server.put("/cats.bin?key=secret2", CUT, Answer(resets=True)).replace("//", "//me:secret1@")
    with pytest.raises(InputError) as error:
        fetch(Download(url), tmp_path)
    login = base64.b64encode(b"me:secret1").decode()
    assert server.asked["/cats.bin?key=secret2"][0]["Authorization"] == f"Basic {login}"
    told = str(error.value) + "".join(capfd.readouterr())
    assert "cats.bin.part" in told
    assert "secret" not in told


def test_a_download_is_named_as_its_url_ends():
    assert Download("https://a.b/big%20cats.zip?download=1").file_name == "big cats.zip"


# Archives


@pytest.mark.parametrize("has_checksum", [True, False])
def test_an_archive_is_unpacked_once_and_deleted(server, tmp_path, has_checksum):
    body = zipped(tom=b"cat")
    checksum = sha256(body) if has_checksum else None
    download = Download(server.put("/cats.zip", Answer(body)), checksum, folder="sub", unpack=True)
    for _ in range(2):
        fetch(download, tmp_path)
    assert (tmp_path / "sub/cats/tom").read_bytes() == b"cat"
    assert len(server.asked["/cats.zip"]) == 1
    assert left_in(tmp_path) == [".cats.zip.unpacked", "tom"]


def test_an_archive_is_unpacked_again_if_it_was_replaced_or_its_files_are_gone(server, tmp_path):
    for content in (b"cat", b"dog"):
        body = zipped(tom=content)
        download = Download(server.put("/cats.zip", Answer(body)), sha256(body), unpack=True)
        fetch(download, tmp_path)
        assert (tmp_path / "cats/tom").read_bytes() == content
    shutil.rmtree(tmp_path / "cats")
    fetch(download, tmp_path)
    assert (tmp_path / "cats/tom").read_bytes() == b"dog"
    shutil.rmtree(tmp_path / "cats")
    (tmp_path / "cats.zip").write_bytes(body)  # by hand
    server.put("/cats.zip", Answer(status=404))
    fetch(download, tmp_path)
    assert left_in(tmp_path) == [".cats.zip.unpacked", "tom"]


def test_an_unsafe_or_too_large_archive_is_kept_and_nothing_of_it_is_unpacked(server, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../evil"))
    with pytest.raises(InputError, match=r"cats.tgz' is refused.*'../evil'"):
        fetch(Download(server.put("/cats.tgz", Answer(buffer.getvalue())), folder="sub", unpack=True), tmp_path)
    download = Download(server.put("/cats.zip", Answer(zipped(tom=b"c" * 1000))), unpack=True, n_bytes_unpacked=999)
    with pytest.raises(InputError, match="exceeds the 999 bytes"):
        fetch(download, tmp_path)
    assert left_in(tmp_path) == ["cats.tgz", "cats.zip"]


# Output


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "is_shown"), [(Terminal, True), (io.StringIO, False)])
def test_a_progress_bar_is_shown_on_a_terminal_only(server, tmp_path, monkeypatch, stream, is_shown):
    monkeypatch.setattr(sys, "stderr", stream())
    fetch(Download(server.put("/cats.bin", Answer(status=503), RIGHT), sha256(BODY)), tmp_path)
    shown = sys.stderr.getvalue()
    assert ("cats.bin" in shown and "100%" in shown and "retrying in" in shown) == is_shown
    assert bool(shown) == is_shown
