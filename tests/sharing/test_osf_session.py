"""Who is asked, how often and with what: the token goes to OSF alone, refusals say what to do, a busy server is waited for."""

import logging
import re
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from osf_fixtures import PROJECT, local_osf, make, on_osf, once, place, shown, write  # noqa: F401 - a fixture
from osf_server import TOKEN, Fault

from catscans_lib.cli.main import main
from catscans_lib.errors import InputError
from catscans_lib.sharing import transfer
from catscans_lib.sharing.osf import session, uploads
from catscans_lib.sharing.osf.pull import pull
from catscans_lib.sharing.osf.push import push

# The token


def test_the_token_goes_to_osf_and_to_nobody_else_and_is_written_nowhere(osf, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    osf.faults = once(Fault("fails"), "files", "PUT")
    push(place(osf, make(tmp_path / "here")))
    pull(place(osf, tmp_path / "there"))
    asked = {
        where: {headers.get("Authorization") for at, _, _, headers in osf.asked if at == where}
        for where in ("api", "files", "storage")
    }
    assert asked == {"api": {f"Bearer {TOKEN}"}, "files": {f"Bearer {TOKEN}"}, "storage": {None}}
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] + list(osf.files(PROJECT).values())
    assert len(written) > 40
    said = caplog.text + "".join(capfd.readouterr())
    assert "127.0.0.1" in said  # urllib3 has logged its requests
    assert not any(TOKEN.encode() in each for each in [*written, said.encode()])
    assert not any(TOKEN in path for _, _, path, _ in osf.asked)


def test_no_error_shows_the_token(osf, tmp_path):
    root = make(tmp_path / "here")
    for fault in (Fault("fails", status=status) for status in (400, 401, 403, 404, 413, 500, 507)):
        osf.faults = lambda *asked, fault=fault: fault
        with pytest.raises(InputError) as error:
            push(place(osf, root))
        assert TOKEN not in str(error.value)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "Bär"])
def test_a_token_that_cannot_be_one_is_not_shown_either(osf, tmp_path, monkeypatch, token):
    monkeypatch.setenv("OSF_TOKEN", token)
    with pytest.raises(InputError, match="is no token") as error:
        push(place(osf, make(tmp_path / "here")))
    assert token not in str(error.value)
    assert osf.asked == []


def test_the_keyring_is_asked_where_the_environment_has_no_token(osf, tmp_path, monkeypatch):
    monkeypatch.delenv("OSF_TOKEN")
    asked = []
    fake = SimpleNamespace(get_password=lambda *words: asked.append(words) or TOKEN)
    monkeypatch.setitem(sys.modules, "keyring", fake)
    monkeypatch.setitem(sys.modules, "keyring.errors", SimpleNamespace(KeyringError=OSError))
    push(place(osf, make(tmp_path / "here")))
    assert asked == [("osf.io", "token")]


def test_without_a_keyring_a_missing_token_is_no_error_yet(monkeypatch):
    monkeypatch.delenv("OSF_TOKEN", raising=False)
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert session.token() is None


def test_what_the_file_netrc_has_for_a_host_is_not_sent(osf, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login cat password purr")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    push(place(osf, make(tmp_path / "here")))
    pull(place(osf, tmp_path / "there"))
    assert {headers.get("Authorization") for _, _, _, headers in osf.asked} == {f"Bearer {TOKEN}", None}


@pytest.mark.parametrize(
    ("base", "url", "is_own"),
    [
        ("https://api.osf.io/v2", "https://api.osf.io/v2/nodes/abc12/", True),
        ("https://api.osf.io/v2", "https://files.osf.io/v1/resources/abc12/", True),
        ("https://api.osf.io/v2", "https://files.de-1.osf.io/v1/resources/abc12/", True),
        ("https://api.osf.io/v2", "https://osf.io/download/abc12/", True),
        ("https://api.osf.io/v2", "http://files.osf.io/v1/", False),
        ("https://api.osf.io/v2", "https://storage.googleapis.com/cos-osf/abc", False),
        ("https://api.osf.io/v2", "https://evilosf.io/", False),
        ("https://api.osf.io/v2", "https://osf.io.evil.org/", False),
        ("https://api.osf.io/v2", "https://osf.io@evil.org/", False),
        ("https://osf.example.org/v2", "https://files.example.org/", False),
        ("https://api.io/v2", "https://evil.io/", False),
        ("http://127.0.0.1:8000/v2", "http://127.0.0.1:8001/", False),
    ],
)
def test_only_osfs_own_addresses_are_trusted(base, url, is_own):
    assert session.Session(base, TOKEN, rate=1, n_connections=1).trusts(url) == is_own


def test_the_token_is_not_sent_unencrypted():
    with pytest.raises(InputError, match="'http://osf.example.org/v2' is not https"):
        session.Session("http://osf.example.org/v2", TOKEN, rate=1, n_connections=1)


def test_an_address_elsewhere_in_osfs_answer_is_not_asked(osf, tmp_path):
    at = place(osf, make(tmp_path / "here"))

    def faults(where, method, path):
        if path.endswith("/nodes/abc12/"):
            osf.url = f"{osf.storage}/v2"  # what links are made of

    osf.faults = faults
    with pytest.raises(InputError, match="names an address that is not its own"):
        push(at)
    assert osf.count("storage", "GET") == 0


# Who may do what


def test_a_public_project_is_pulled_without_a_token_and_not_pushed_to(osf, tmp_path, monkeypatch):
    root = make(tmp_path / "here")
    osf.projects[PROJECT].is_public = True
    push(place(osf, root))
    monkeypatch.delenv("OSF_TOKEN")
    pull(place(osf, tmp_path / "there"))
    assert shown(tmp_path / "there") == shown(root)
    write(tmp_path / "there", "tables/more.csv", "more")
    with pytest.raises(InputError, match="401. OSF does not accept the token, or wants one. Set OSF_TOKEN"):
        push(place(osf, tmp_path / "there"))


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "the answer is 401. OSF does not accept the token, or wants one. Set OSF_TOKEN"),
        ("wrong", "the answer is 401"),
        ("aNoThEr-token", "the answer is 403. The account that the token belongs to may not do this"),
    ],
)
def test_a_private_project_wants_the_right_token(osf, tmp_path, monkeypatch, token, message):
    monkeypatch.setenv("OSF_TOKEN", token) if token else monkeypatch.delenv("OSF_TOKEN")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(InputError, match=message):
        pull(place(osf, tmp_path / "there"))
    assert osf.pauses == []


def test_an_unknown_project_says_where_an_id_is_found(osf, tmp_path):
    at = place(osf, make(tmp_path / "here"))
    for project, message in (("zzzzz", "404. There is no such project"), ("../abc12", "No project ID: '../abc12'")):
        with pytest.raises(InputError, match=message):
            push(type(at)(at.root, project, at.node, at.base_url))


def test_a_full_project_is_not_tried_again(osf, tmp_path):
    osf.projects[PROJECT].quota = 10_000
    with pytest.raises(InputError, match="507. The project's storage is full"):
        push(place(osf, make(tmp_path / "here"), n_jobs=1))
    assert osf.pauses == []


def test_a_file_that_osf_would_cut_off_is_not_sent(osf, tmp_path):
    root = make(tmp_path / "here")
    with (root / "tables/huge.bin").open("wb") as file:
        file.truncate(6 * 2**30)
    copy, journal = SimpleNamespace(files={}), SimpleNamespace()
    with pytest.raises(InputError, match="has 6,442,450,944 bytes; OSF takes 5,261,334,937 a file"):
        uploads.Upload(copy, journal, "tables/huge.bin", root / "tables/huge.bin", "", None).send()


# A server that is busy, away or slow


def test_a_busy_server_is_given_the_pause_it_asks_for(osf, tmp_path):
    osf.faults = once(Fault("busy", retry_after=17), "files", "PUT")
    root = make(tmp_path / "here")
    push(place(osf, root, n_jobs=1))
    assert 17 <= max(osf.pauses) <= 17 * (1 + session.SPREAD)
    assert on_osf(osf) == shown(root)


def test_a_server_that_stays_away_is_given_up_after_growing_pauses(osf, tmp_path):
    osf.faults = lambda *asked: Fault("reset")
    with pytest.raises(
        InputError, match="could not be reached, tried 5 times.*Connection reset by peer. What is done is done"
    ):
        push(place(osf, make(tmp_path / "here"), n_jobs=1))
    assert len(osf.pauses) == len(transfer.PAUSES_S)
    assert all(least <= pause <= least * 1.5 for pause, least in zip(osf.pauses, transfer.PAUSES_S, strict=True))


@pytest.mark.parametrize(("where", "method"), [("api", "GET"), ("files", "GET"), ("files", "PUT"), ("storage", "GET")])
def test_a_server_that_says_nothing_is_not_waited_for_for_ever(osf, tmp_path, monkeypatch, where, method):
    monkeypatch.setattr(transfer, "TIMEOUT_S", (0.3, 0.3))
    monkeypatch.setattr(session, "UPLOAD_TIMEOUT_S", (0.3, 0.3))
    osf.faults = once(Fault("stalls"), where, method)
    root = make(tmp_path / "here")
    push(place(osf, root))
    pull(place(osf, tmp_path / "there"))
    assert osf.has_stalled.is_set()
    assert shown(tmp_path / "there") == shown(root) == on_osf(osf)


def test_an_upload_whose_answer_is_lost_is_not_sent_a_second_time(osf, tmp_path):
    root = make(tmp_path / "here")
    osf.faults = once(Fault("lost"), "files", "PUT", "name=model.keras")
    push(place(osf, root, n_jobs=1))
    assert on_osf(osf) == shown(root)
    assert sum("name=model.keras" in path for _, method, path, _ in osf.asked if method == "PUT") == 3
    assert {len(node.versions) for node in osf.nodes.values() if node.kind == "file"} == {1}


def test_an_upload_that_arrives_damaged_is_sent_again(osf, tmp_path):
    root = make(tmp_path / "here")
    osf.faults = once(Fault("corrupt"), "files", "PUT", "name=model.keras")
    push(place(osf, root))
    assert on_osf(osf) == shown(root)


def test_a_file_that_changes_while_it_is_sent_is_an_error_and_the_next_push_sends_it(osf, tmp_path, monkeypatch):
    root = make(tmp_path / "here")
    scanned = uploads.Upload.send

    def send(upload, **given):
        if upload.path == "tables/aucs.csv":
            write(root, "tables/aucs.csv", "source,version\nxxx,1\n")
        return scanned(upload, **given)

    monkeypatch.setattr(uploads.Upload, "send", send)
    with pytest.raises(InputError, match="tables/aucs.csv' changed while it was sent. Push again"):
        push(place(osf, root, n_jobs=1))
    assert "demo/osf_manifest.csv" not in osf.files(PROJECT)
    push(place(osf, root))
    assert on_osf(osf) == shown(root)


def test_a_file_that_becomes_shorter_while_it_is_sent_is_not_waited_for(tmp_path):
    source = write(tmp_path, "short.bin", b"four")
    with uploads.Body(source, 5, lambda n_bytes: None) as body, pytest.raises(InputError, match="became shorter"):
        list(body)


def test_a_cut_download_goes_on_where_it_was_cut(osf, tmp_path):
    root = tmp_path / "here"
    write(root, "tables/large.bin", bytes(range(256)) * 4000)
    push(place(osf, root))
    osf.faults = lambda where, *asked: (
        Fault("cut", at=0.7) if where == "storage" and osf.count("storage", "GET") in (2, 3) else None
    )
    pull(place(osf, tmp_path / "there"))
    ranges = [headers.get("Range") for where, _, _, headers in osf.asked if where == "storage"]
    assert ranges == [
        None,
        None,
        f"bytes={int(1_024_000 * 0.7)}-",
        f"bytes={int(1_024_000 * 0.7) + int(1_024_000 * 0.3 * 0.7)}-",
    ]
    assert shown(tmp_path / "there") == shown(root)


def test_a_download_given_up_is_gone_on_with_by_the_next_pull(osf, tmp_path, monkeypatch):
    root = tmp_path / "here"
    write(root, "tables/large.bin", bytes(range(256)) * 4000)
    push(place(osf, root))
    monkeypatch.setattr(transfer, "PAUSES_S", ())
    osf.faults = lambda where, *asked: (
        Fault("cut", at=0.5) if where == "storage" and osf.count("storage", "GET") == 2 else None
    )
    osf.asked.clear()
    with pytest.raises(InputError, match="could not be reached, tried 1 times.*give the same command again later"):
        pull(place(osf, tmp_path / "there"))
    assert shown(tmp_path / "there") == {}
    osf.faults = lambda *asked: None
    pull(place(osf, tmp_path / "there"))
    assert osf.asked[-1][3]["Range"] == "bytes=512000-"
    assert shown(tmp_path / "there") == shown(root)


def test_a_download_that_arrives_damaged_is_fetched_again_and_given_up_if_it_stays_so(osf, tmp_path):
    root = make(tmp_path / "here")
    push(place(osf, root))
    osf.faults = once(Fault("corrupt"), "storage", "GET")
    pull(place(osf, tmp_path / "there"))
    assert shown(tmp_path / "there") == shown(root)
    n_before = osf.count("storage", "GET")
    osf.faults = lambda where, *asked: (
        Fault("corrupt") if where == "storage" and osf.count("storage", "GET") > n_before + 1 else None
    )
    with pytest.raises(InputError, match="came twice from OSF with another checksum"):
        pull(place(osf, tmp_path / "other"))


# How fast


def test_requests_of_all_threads_together_keep_the_rate(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(transfer, "sleep", lambda pause_s: clock.__setitem__(0, clock[0] + pause_s))
    limiter = session.Limiter(4)
    for _ in range(9):
        limiter.wait()
    assert clock[0] == pytest.approx(102)  # the first at once, then one every quarter of a second
    limiter.hold(30)
    limiter.wait()
    assert clock[0] == pytest.approx(132)


# The command line


def test_the_command_line_pushes_pulls_looks_and_verifies(osf, tmp_path):
    root, there = make(tmp_path / "demo"), tmp_path / "there" / "demo"
    assert "14 files" in catscans(osf, 0, "push", root, "--dry-run")
    assert on_osf(osf) == {}
    assert re.search(r"14 files \(210,\d{3} bytes\) sent, 0 the same already.", catscans(osf, 0, "push", root))
    assert "14 files" in catscans(osf, 0, "pull", there)
    assert shown(there) == shown(root)
    assert "0 to push, 0 to pull, 0 changed on both sides, 14 the same." in catscans(osf, 0, "status", there)
    assert "14 of 14 files are right here and on OSF." in catscans(osf, 0, "verify", there)
    write(there, "tables/aucs.csv", "other")
    said = catscans(osf, 1, "verify", there)
    assert "13 of 14" in said and "wrong: tables/aucs.csv: another one here" in said
    said = catscans(osf, 2, "push", tmp_path / "nowhere")
    assert said.startswith("catscans: No folder") and not (tmp_path / "nowhere").exists()


def catscans(osf, status, *words):
    command = ["osf", words[0], str(words[1]), "--project", PROJECT, "--rate", "1000", *words[2:]]
    done = CliRunner().invoke(main, command, env={"CATSCANS_OSF_URL": osf.url})
    assert done.exit_code == status, done.output
    assert TOKEN not in done.output and "%|" not in done.output  # no bar where nobody looks
    return done.output
