"""Runs on OSF: what is sent and fetched is the same bytes, no finished run is lost, no run is ever half there."""

import hashlib
import io
import json
import logging
import re
import shutil
import zipfile

import pytest
import tiny
from click.testing import CliRunner
from faulting import killed_at
from osf_fixtures import PROJECT, RUNS, local_osf, make, once, shown, sync, write  # noqa: F401 - a fixture
from osf_server import OTHER_TOKEN, TOKEN, Fault

from catscans_lib import paths
from catscans_lib.cli.main import main
from catscans_lib.errors import InputError
from catscans_lib.sharing.osf import runs, storage


@pytest.fixture(name="root")
def pushed(osf, tmp_path):
    """A folder of finished runs, which have been pushed."""
    sync(osf, make(tmp_path / "here")).push()
    return tmp_path / "here"


@pytest.fixture(name="there")
def pulled(osf, root, tmp_path):
    """A copy of that folder, on another machine that has pulled the runs."""
    copy = sync(osf, tmp_path / "there")
    copy.pull()
    return copy


def zips_on(osf):
    return {path: body for path, body in osf.files(PROJECT).items() if path.endswith(".zip")}


def forge_zip(osf, key, members):
    """Put another zip of a run on OSF, newer than all others, whose name says that it holds the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    (digest,) = [path.split(".")[2] for path in zips_on(osf) if path.startswith(f"demo/{key}.")]
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    osf.write(PROJECT, f"demo/{key}.20301101T000000.{digest}.{sha256[:12]}.zip", buffer.getvalue())


# There and back


def test_each_run_is_one_zip_named_by_its_end_and_its_content(osf, root):
    assert len(zips_on(osf)) == len(osf.files(PROJECT)) == 3
    for key in RUNS:
        (path,) = [path for path in zips_on(osf) if path.startswith(f"demo/{key}.")]
        _, finished, digest, sha256, _ = path.split(".")
        assert (finished, digest) == ("20261101T000001", runs.digest(root, key))
        assert sha256 == hashlib.sha256(zips_on(osf)[path]).hexdigest()[:12]
    ingested = zipfile.ZipFile(io.BytesIO(next(body for path, body in zips_on(osf).items() if "ingest/chest." in path)))
    names = ("history.csv", "model.keras", "run.json")
    assert ingested.namelist() == ["folds/chest.csv", *(f"ingest/chest/{name}" for name in names)]


def test_pulled_are_the_pushed_bytes_a_second_time_nothing_is_moved_and_a_third_time_only_the_changed_run(
    osf, tmp_path
):
    root, there = make(tmp_path / "here"), sync(osf, tmp_path / "there")
    assert sorted(sync(osf, root).push().move) == sorted(RUNS)
    there.pull()
    assert shown(there.root) == shown(root)
    assert not (there.root / ".osf/staging").exists()
    n_puts = osf.count("files", "PUT")
    assert sync(osf, root).push().move == there.pull().move == {}
    assert osf.count("files", "PUT") == n_puts
    make(root, 2, RUNS[1:2])
    assert list(sync(osf, root).push().move) == list(there.pull().move) == [RUNS[1]]
    assert shown(there.root) == shown(root)
    assert osf.count("files", "PUT") == n_puts + 1
    assert len(zips_on(osf)) == 4  # the former version stays


def test_only_finished_runs_are_sent(osf, tmp_path):
    root = make(tmp_path / "here", runs=RUNS[:1])
    before = shown(root)
    for path in ("scratch/x/run.json", "records/1/run.json", "transfer/.x.work/run.json", ".snakemake/log/run.json"):
        write(root, path, '{"status": "completed"}')
    for path in ("transfer/failed/run.json", "transfer/odd/run.json", "ingest/chest/.done", "tables/by_hand.csv"):
        write(root, path, "[]")
    (root / "ingest/chest/elsewhere.csv").symlink_to(root / "folds/chest.csv")
    assert list(sync(osf, root).push().move) == ["ingest/chest"]
    sync(osf, tmp_path / "there").pull()
    assert shown(tmp_path / "there") == before


# Versions


def test_a_run_that_is_newer_here_is_never_replaced_unless_forced(root, there):
    before = shown(make(there.root, 2))
    with pytest.raises(InputError, match="Not fetched: evaluate/all differs here from every version on OSF, .*--force"):
        there.pull()
    assert shown(there.root) == before
    there.pull(force=True)
    assert shown(there.root) == shown(root)


def test_a_note_keeps_its_run_from_being_replaced_while_others_are_fetched(osf, root, there):
    write(there.root, "transfer/dtd--chest/my_notes.txt", "mine")
    sync(osf, make(root, 2)).push()
    with pytest.raises(InputError, match="Not fetched: transfer/dtd--chest differs .* OSF. Push again"):
        there.pull()
    assert (there.root / "tables/aucs.csv").read_text() == "version,2\n"
    assert (there.root / "transfer/dtd--chest/my_notes.txt").read_text() == "mine"
    assert versions_of(there.root, "ingest/chest") == {2} and versions_of(there.root, "transfer/dtd--chest") == {1}


def test_what_is_missing_here_is_fetched_again(osf, root):
    before = shown(root)
    for folder in ("folds", "ingest", "transfer"):
        shutil.rmtree(root / folder)
    assert list(sync(osf, root).push().move) == []
    assert sorted(sync(osf, root).pull().move) == ["ingest/chest", "transfer/dtd--chest"]
    assert shown(root) == before


def test_the_run_that_was_finished_last_is_the_one_that_is_pulled_whoever_pushed_last(osf, tmp_path):
    new, old = make(tmp_path / "new", 2), make(tmp_path / "old", 1)
    sync(osf, new).push()
    sync(osf, old).push()
    assert len(zips_on(osf)) == 6
    sync(osf, old).pull()
    assert shown(old) == shown(new)


def test_a_run_that_a_sweep_finishes_during_a_pull_is_left_alone(osf, root, there, monkeypatch):
    sync(osf, make(root, 2)).push()
    downloading = storage.Storage.download

    def download(*given):
        downloading(*given)
        make(there.root, 3, RUNS[:1])

    monkeypatch.setattr(storage.Storage, "download", download)
    with pytest.raises(InputError, match="Not fetched: ingest/chest differs here"):
        there.pull()
    assert versions_of(there.root, "ingest/chest") == {3} and versions_of(there.root, "transfer/dtd--chest") == {2}


def test_a_version_that_is_no_longer_on_osf_does_not_count_as_safe(osf, root, there):
    sync(osf, make(root, 2)).push()
    before = shown(there.root)
    for path, body in zips_on(osf).items():
        if ".20261101T" in path:
            osf.write(PROJECT, path, body + b"damaged")
    with pytest.raises(InputError, match="differs here from every version on OSF"):
        there.pull()
    assert shown(there.root) == before
    assert len(there.push().move) == 3  # sent again
    assert sync(osf, root).pull().same == sorted(RUNS)


def test_pushes_of_two_machines_at_the_same_moment_both_arrive(osf, tmp_path):
    roots = [make(tmp_path / key, runs=[key]) for key in RUNS]
    waiting = [sync(osf, root) for root in roots[1:]]

    def faults(where, method, path):
        if method == "PUT" and waiting:
            waiting.pop().push()

    osf.faults = faults
    sync(osf, roots[0]).push()
    assert waiting == []
    assert sorted(sync(osf, tmp_path / "there").pull().move) == sorted(RUNS)


def test_of_an_interrupted_push_whole_runs_are_pulled_and_the_next_push_sends_only_the_rest(osf, root, there):
    make(root, 2)
    n_puts = osf.count("files", "PUT") + 1
    osf.faults = lambda where, method, path: Fault("fails") if osf.count("files", "PUT") > n_puts else None
    with pytest.raises(InputError, match="OSF could not be reached after 5 retries.*answers 503.*same command again"):
        sync(osf, root).push()
    osf.faults = lambda *asked: None
    assert len(there.pull().move) == 1
    assert sorted(version for key in RUNS for version in versions_of(there.root, key)) == [1, 1, 2]
    sync(osf, root).push()
    there.pull()
    assert shown(there.root) == shown(root)
    assert len(zips_on(osf)) == 6
    assert max(len(node.versions) for node in osf.nodes.values() if node.name.endswith(".zip")) == 1


def versions_of(root, key):
    """The versions of the files of a run."""
    history, record = (root / key / "history.csv").read_text(), json.loads((root / key / "run.json").read_text())
    return {int(history.removeprefix("version,")), int(record["run_id"][-1])}


# Looking without touching


def test_status_says_which_side_has_changed(osf, root, there):
    make(root, 3, RUNS[:1])
    assert sync(osf, root).status()["to push"] == ["ingest/chest"]
    sync(osf, root).push()
    found = there.status()
    assert (found["to push"], found["to pull"]) == ([], ["ingest/chest"])
    assert found["the same"] == ["evaluate/all", "transfer/dtd--chest"]


# What a server must not make us do


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ingest/chest/run.json": "{}"}, "does not hold the files that its name stands for"),
        ({"../../../outside.txt": "out"}, "leads out of the folder"),
        ({"transfer/dtd--chest/run.json": "{}"}, "does not hold the files"),
        ({"ingest/chest/.hidden": "x"}, "does not hold the files"),  # beside all files of the run
        ({"folds/dtd.csv": "x"}, "does not hold the files"),  # the same
    ],
)
def test_an_unsafe_or_wrong_zip_is_refused_and_the_run_stays_as_it_was(osf, root, there, tmp_path, members, message):
    before = shown(there.root)
    whole = {path: body for path, body in before.items() if path.startswith("ingest/") or path == "folds/chest.csv"}
    forge_zip(
        osf, "ingest/chest", members | (whole if members.keys() & {"ingest/chest/.hidden", "folds/dtd.csv"} else {})
    )
    shutil.rmtree(there.root / "ingest")  # so that the run is fetched
    with pytest.raises(InputError, match=message):
        there.pull()
    assert shown(there.root) == {path: body for path, body in before.items() if not path.startswith("ingest/")}
    assert not list(tmp_path.rglob("outside.txt"))


@pytest.mark.parametrize("path", ["tables/x", ".osf/lock", "a:b/c", "ingest/..", "ingest/.x", "ingest"])
def test_zips_that_stand_for_no_run_are_ignored(osf, root, tmp_path, path):
    osf.write(PROJECT, f"demo/{path}.20301101T000000.0123456789ab.0123456789ab.zip", b"out")
    found = sync(osf, root).status()
    assert (found["the same"], found["left alone by a pull"]) == (sorted(RUNS), [])


def test_files_on_osf_with_unsafe_names_are_ignored(osf, root):
    for name in ("..", "a/b", "a\0b", ".hidden.zip"):
        osf.write(PROJECT, f"demo/transfer/{len(name)}.zip", b"out").name = name
    assert len(sync(osf, root).status()["the same"]) == 3


def test_a_folder_without_runs_is_reported(osf, tmp_path):
    osf.write(PROJECT, "demo/ingest/notes.zip", b"not ours")
    with pytest.raises(InputError, match="Nothing to pull: 'demo' on OSF has no runs. Push first"):
        sync(osf, tmp_path / "there").pull()


def test_a_file_in_the_place_of_a_folder_is_reported(osf, root, tmp_path):
    write(tmp_path / "there", "transfer", "no folder")
    with pytest.raises(InputError, match="Cannot .* '.*transfer.*': (File exists|Not a directory). Correct that"):
        sync(osf, tmp_path / "there").pull()


# Killed processes


def killed(point, command, at):
    """Push or pull in another process that kills itself where it would call a function."""
    words = f"pathlib.Path({str(at.root)!r}), {at.project!r}, {at.node!r}, {at.base_url!r}"
    code = f"import pathlib; from catscans_lib.sharing.osf import sync; sync.Sync({words}).{command}()"
    killed_at(f"catscans_lib.{point}", code)


@pytest.mark.parametrize("point", ["sharing.transfer.is_published", "sharing.osf.runs.unpack", "paths.replace_folder"])
def test_a_killed_pull_leaves_whole_runs_and_the_next_one_completes_it(osf, root, there, point):
    sync(osf, make(root, 2)).push()
    osf.asked.clear()
    killed(point, "pull", there)
    assert all(versions_of(there.root, key) == {1} for key in RUNS)
    there.pull()
    assert shown(there.root) == shown(root)
    assert not list(there.root.rglob(".osf/staging"))
    assert osf.count("storage", "GET") == 3  # each zip once


def test_a_run_that_a_killed_pull_had_moved_aside_comes_back(there):
    before = shown(make(there.root, 2))
    (there.root / "transfer/dtd--chest").rename(there.root / "transfer/.dtd--chest.old")
    with pytest.raises(InputError, match="differs here"):
        there.pull()
    assert shown(there.root) == before


def test_a_push_killed_before_it_reads_an_answer_is_completed_by_the_next(osf, tmp_path):
    root = make(tmp_path / "here")
    killed("sharing.osf.storage._file", "push", sync(osf, root))
    assert len(zips_on(osf)) == 1
    sync(osf, root).push()
    assert len(zips_on(osf)) == 3
    assert {len(node.versions) for node in osf.nodes.values() if node.name.endswith(".zip")} == {1}


def test_two_commands_never_use_one_folder_at_the_same_time(osf, root):
    with paths.locked(root / ".osf/lock"), pytest.raises(InputError, match="Another push or pull uses .*: process "):
        sync(osf, root).push()


# The token


def test_the_token_goes_to_osf_alone_and_is_written_nowhere(osf, tmp_path, caplog, capfd, monkeypatch):
    write(tmp_path, "netrc", "machine 127.0.0.1 login cat password purr")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    caplog.set_level(logging.DEBUG)
    osf.faults = once(Fault("fails"), "files", "PUT")
    sync(osf, make(tmp_path / "here")).push()
    sync(osf, tmp_path / "there").pull()
    asked = {(where, headers.get("Authorization")) for where, _, _, headers in osf.asked}
    assert asked == {("api", f"Bearer {TOKEN}"), ("files", f"Bearer {TOKEN}"), ("storage", None)}
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] + list(osf.files(PROJECT).values())
    said = caplog.text + "".join(capfd.readouterr())
    assert "127.0.0.1" in said  # urllib3 has logged its requests
    assert not any(TOKEN.encode() in each for each in [*written, said.encode()])
    assert not any(TOKEN in path for _, _, path, _ in osf.asked)


def test_no_message_shows_the_token(osf, tmp_path, monkeypatch):
    root = make(tmp_path / "here", runs=RUNS[:1])
    for status in (400, 401, 403, 404, 413, 500, 507):
        osf.faults = lambda *asked, status=status: Fault("fails", status=status)
        with pytest.raises(InputError, match=f"the server answers {status}") as error:
            sync(osf, root).push()
        assert TOKEN not in str(error.value)
    osf.asked.clear()
    for wrong in ("two words", "line\nbreak", "Bär"):
        monkeypatch.setenv("OSF_TOKEN", wrong)
        with pytest.raises(InputError, match="is not a token") as error:
            sync(osf, root).push()
        assert wrong not in str(error.value)
    assert osf.asked == []


@pytest.mark.parametrize(
    ("base", "url", "is_own"),
    [
        ("https://api.osf.io/v2", "https://api.osf.io/v2/nodes/abc12/", True),
        ("https://api.osf.io/v2", "https://files.de-1.osf.io/v1/resources/abc12/", True),
        ("https://api.osf.io/v2", "https://osf.io/download/abc12/", True),
        ("https://api.osf.io/v2", "http://files.osf.io/v1/", False),
        ("https://api.osf.io/v2", "https://storage.googleapis.com/cos-osf/abc", False),
        ("https://api.osf.io/v2", "https://evilosf.io/", False),
        ("https://api.osf.io/v2", "https://osf.io.evil.org/", False),
        ("https://api.osf.io/v2", "https://osf.io@evil.org/", False),
        ("https://osf.example.org/v2", "https://files.osf.io/", False),
        ("https://osf.example.org/v2", "https://files.example.org/", False),
        ("http://127.0.0.1:8000/v2", "http://127.0.0.1:8001/", False),
    ],
)
def test_only_addresses_of_osf_are_trusted(base, url, is_own):
    assert storage.Session(base, TOKEN).trusts(url) == is_own


def test_the_token_is_not_sent_unencrypted_nor_to_an_address_elsewhere_in_an_answer(osf, tmp_path):
    with pytest.raises(InputError, match="'http://osf.example.org/v2' is not https"):
        storage.Session("http://osf.example.org/v2", TOKEN)
    at = sync(osf, make(tmp_path / "here"))

    def faults(where, method, path):
        if path.endswith("/nodes/abc12/"):
            osf.url = f"{osf.storage}/v2"  # what the next links are made of

    osf.faults = faults
    with pytest.raises(InputError, match="names a foreign address"):
        at.push()
    assert osf.count("storage", "GET") == 0


# Access, limits and failures


def test_a_public_project_is_pulled_without_a_token_and_not_pushed_to(osf, root, tmp_path, monkeypatch):
    osf.projects[PROJECT].is_public = True
    monkeypatch.delenv("OSF_TOKEN")
    there = sync(osf, tmp_path / "there")
    there.pull()
    assert shown(there.root) == shown(root)
    make(there.root, 2)
    with pytest.raises(InputError, match="401. OSF needs a token, or does not accept this one. Set OSF_TOKEN"):
        there.push()


@pytest.mark.parametrize(
    ("token", "status"), [(None, "401. OSF needs a token"), ("wrong", "401"), (OTHER_TOKEN, "403. The account")]
)
def test_a_private_project_needs_the_right_token(osf, tmp_path, monkeypatch, token, status):
    monkeypatch.setenv("OSF_TOKEN", token) if token else monkeypatch.delenv("OSF_TOKEN")
    with pytest.raises(InputError, match=f"the server answers {status}"):
        sync(osf, tmp_path / "there").pull()
    assert osf.pauses == []


def test_a_wrong_project_a_full_one_and_a_file_too_large_are_reported_without_a_retry(osf, tmp_path, monkeypatch):
    at = sync(osf, make(tmp_path / "here"))
    for project, message in (("zzzzz", "404. There is no such project"), ("../abc12", "'../abc12' is not the ID")):
        with pytest.raises(InputError, match=message):
            type(at)(at.root, project, at.node, at.base_url).push()
    monkeypatch.setattr(osf.projects[PROJECT], "quota", 10_000)
    with pytest.raises(InputError, match="507. The storage of the project is full"):
        sync(osf, at.root).push()
    monkeypatch.setattr(storage, "MAX_BYTES", 10_000)
    with pytest.raises(InputError, match=r"has 7\d,\d{3} bytes; OSF stores 10,000 per file"):
        at.push()
    assert osf.pauses == []


@pytest.mark.parametrize(("kind", "n_puts", "n_versions"), [("lost", 1, 1), ("corrupt", 2, 2), ("cut", 2, 1)])
def test_an_upload_that_fails_is_sent_again_only_if_it_did_not_arrive(osf, tmp_path, kind, n_puts, n_versions):
    root = make(tmp_path / "here", runs=RUNS[:1])
    osf.faults = once(Fault(kind), "files", "PUT", ".zip")
    sync(osf, root).push()
    (zip_,) = [node for node in osf.nodes.values() if node.name.endswith(".zip")]
    assert len(zip_.versions) == n_versions
    assert sum(method == "PUT" and (".zip" in path or zip_.id in path) for _, method, path, _ in osf.asked) == n_puts
    sync(osf, tmp_path / "there").pull()
    assert shown(tmp_path / "there") == shown(root)


def test_a_run_that_changes_while_it_is_packed_is_an_error_and_the_next_push_sends_it(osf, tmp_path, monkeypatch):
    root = make(tmp_path / "here", runs=RUNS[:1])
    packing = runs.pack

    def pack(root, run, path):
        make(root, 2, RUNS[:1])
        packing(root, run, path)

    monkeypatch.setattr(runs, "pack", pack)
    with pytest.raises(InputError, match="ingest/chest changed while it was packed. Push again"):
        sync(osf, root).push()
    assert osf.files(PROJECT) == {}
    monkeypatch.undo()
    monkeypatch.setenv("OSF_TOKEN", TOKEN)
    sync(osf, root).push()
    assert [path.split(".")[1] for path in zips_on(osf)] == ["20261102T000001"]


def test_a_cut_download_is_resumed_by_the_next_pull(osf, tmp_path):
    root, there = make(tmp_path / "here", runs=RUNS[:1], n_bytes=10**6), sync(osf, tmp_path / "there")
    sync(osf, root).push()
    (size,) = map(len, zips_on(osf).values())
    osf.asked.clear()
    faults = [Fault("cut"), *[Fault("reset")] * 5]
    osf.faults = lambda where, *_: where == "storage" and faults and faults.pop(0)
    with pytest.raises(InputError, match="could not be reached after 5 retries.*same command again later"):
        there.pull()
    assert shown(there.root) == {}
    there.pull()
    assert osf.asked[-1][3]["Range"] == f"bytes={size // 2}-"
    assert shown(there.root) == shown(root)


# The command line


def test_the_command_line_pushes_pulls_and_compares(osf, tmp_path):
    root, there = make(tmp_path / "demo"), tmp_path / "there" / "demo"
    assert "  to push: evaluate/all, " in catscans(osf, 0, "status", root) and osf.files(PROJECT) == {}
    assert re.search(r"3 runs \(21\d,\d{3} bytes\) sent, 0 unchanged.", catscans(osf, 0, "push", root))
    assert "3 runs" in catscans(osf, 0, "pull", there)
    assert shown(there) == shown(root)
    assert "0 to push, 0 to pull, 3 the same, 0 left alone by a pull." in catscans(osf, 0, "status", there)
    write(there, "evaluate/all/history.csv", "other")
    assert "  to push: evaluate/all" in catscans(osf, 0, "status", there)
    said = catscans(osf, 2, "push", tmp_path / "nowhere")
    assert said.startswith("catscans: No folder") and not (tmp_path / "nowhere").exists()


def catscans(osf, status, *words):
    command = ["osf", words[0], str(words[1]), "--project", PROJECT, *words[2:]]
    done = CliRunner().invoke(main, command, env={"CATSCANS_OSF_URL": osf.url})
    assert done.exit_code == status, done.output
    assert TOKEN not in done.output and "%|" not in done.output  # no bar where nobody looks
    return done.output


@pytest.mark.slow  # two short sweeps
def test_a_sweep_on_another_machine_takes_pulled_runs_as_done(osf, tmp_path):
    here, there = tiny.project(tmp_path / "here"), tiny.project(tmp_path / "there")
    tiny.catscans(here, "sweep", "ingest/dtd", check=True)
    sync(osf, here / "results/demo").push()
    sync(osf, there / "results/demo").pull()
    shutil.copytree(here / "data", there / "data")  # images are not kept on OSF
    swept = tiny.catscans(there, "sweep", "ingest/dtd", check=True)
    assert "nothing to do" in swept.stdout
    assert list(tiny.done(there)) == ["ingest/dtd"]
