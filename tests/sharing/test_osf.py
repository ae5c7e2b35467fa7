"""Results on OSF: what is sent and fetched is the same bytes, nobody's work is written over, no run is there by half."""

import csv
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from types import SimpleNamespace

import osfclient
import pytest
import tiny
from osf_fixtures import PROJECT, RUNS, local_osf, make, on_osf, place, shown, write  # noqa: F401 - a fixture
from osf_server import TOKEN, Fault

from catscans_lib.errors import InputError
from catscans_lib.sharing.osf import look
from catscans_lib.sharing.osf.pull import pull
from catscans_lib.sharing.osf.push import push

MANIFEST = "demo/osf_manifest.csv"


def paths(plan):
    return sorted(entry.path for entry in plan.move)


def killed_at(point, command, at):
    """Push or pull in another process that is killed with kill -9 where it calls a function."""
    module, name = point.rsplit(".", 1)
    code = f"""
import importlib, os, pathlib
from catscans_lib.sharing.osf.place import Place
setattr(importlib.import_module({module!r}), {name!r}, lambda *_, **__: os.kill(os.getpid(), 9))
do = getattr(importlib.import_module("catscans_lib.sharing.osf.{command}"), {command!r})
do(Place(pathlib.Path({str(at.root)!r}), {at.project!r}, {at.node!r}, {at.base_url!r}, 1, 1e6))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


# There and back


def test_what_was_pushed_is_pulled_byte_for_byte(osf, tmp_path):
    root = make(tmp_path / "here")
    assert len(paths(push(place(osf, root)))) == 14
    assert on_osf(osf) == shown(root)
    pull(place(osf, tmp_path / "there"))
    assert shown(tmp_path / "there") == shown(root)


def test_a_second_push_or_pull_moves_nothing_and_a_third_only_what_has_changed(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root))
    pull(there)
    n_puts = osf.count("files", "PUT")
    assert paths(push(place(osf, root))) == paths(pull(there)) == []
    assert osf.count("files", "PUT") == n_puts
    write(root, "tables/aucs.csv", "source,auc\ndtd,0.9\n")
    assert paths(push(place(osf, root))) == ["tables/aucs.csv"] == paths(pull(there))
    assert shown(there.root) == shown(root)
    assert osf.count("files", "PUT") == n_puts + 2  # the table and the manifest


def test_the_manifest_has_checksum_size_and_run_of_every_file(osf, tmp_path):
    root = make(tmp_path / "here")
    push(place(osf, root))
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(osf.files(PROJECT)[MANIFEST].decode()))}
    assert {path: row["sha256"] for path, row in rows.items()} == {
        path: hashlib.sha256(body).hexdigest() for path, body in shown(root).items()
    }
    assert {path: int(row["n_bytes"]) for path, row in rows.items()} == {
        path: len(body) for path, body in shown(root).items()
    }
    assert rows["transfer/dtd--chest/figures/auc.svg"]["run_id"] == "transfer/dtd--chest-1"
    assert rows["tables/aucs.csv"]["run_id"] == ""


def test_only_results_are_sent(osf, tmp_path):
    root = make(tmp_path / "here", runs=RUNS[:1])
    before = shown(root)
    for path in (
        "transfer/.dtd--chest.work/run.json", "transfer/.dtd--chest.checkpoint/state.npz", "pretrain/dtd/.done",
        "scratch/pretrain/dtd/run.json", "records/1/cout.txt", ".snakemake/log",
    ):  # fmt: skip
        write(root, path, "not a result")
    (root / "tables" / "elsewhere.csv").symlink_to(root / "tables" / "aucs.csv")
    push(place(osf, root))
    assert on_osf(osf) == before


def test_folders_of_more_files_than_a_page_shows_are_listed_whole(osf, tmp_path):
    for number in range(230):
        write(tmp_path / "here", f"tables/{number:03d}.csv", str(number))
    push(place(osf, tmp_path / "here"))
    assert paths(push(place(osf, tmp_path / "here"))) == []
    assert sum("page=3" in asked[2] for asked in osf.asked) == 1
    pull(place(osf, tmp_path / "there"))
    assert shown(tmp_path / "there") == shown(tmp_path / "here")


def test_runs_that_are_pulled_count_as_done(osf, tmp_path, monkeypatch):
    from catscans_lib import results

    push(place(osf, make(tmp_path / "here")))
    pull(place(osf, tmp_path / "project" / "results" / "demo"))
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path / "project"))
    assert results.finished("demo", "transfer") == ["dtd--chest", "none--chest"]


def test_osfclient_finds_the_same_files(osf, tmp_path, monkeypatch):
    root = make(tmp_path / "here")
    push(place(osf, root))
    monkeypatch.setattr("osfclient.models.session.time", SimpleNamespace(time=lambda: 0.0, sleep=lambda pause_s: None))
    other = osfclient.OSF(token=TOKEN)
    other.session.base_url = osf.url
    found = {}
    for file in other.project(PROJECT).storage().files:
        place_ = tmp_path / "file"
        with place_.open("wb") as to:
            file.write_to(to)
        found[file.path.removeprefix("/demo/")] = place_.read_bytes()
        assert file.hashes["sha256"] == hashlib.sha256(found[file.path.removeprefix("/demo/")]).hexdigest()
    del found["osf_manifest.csv"]
    assert found == shown(root)


def test_files_that_osfclient_has_sent_are_not_sent_again(osf, tmp_path, monkeypatch):
    root = make(tmp_path / "here", runs=RUNS[:1])
    monkeypatch.setattr("osfclient.models.session.time", SimpleNamespace(time=lambda: 0.0, sleep=lambda pause_s: None))
    other = osfclient.OSF(token=TOKEN)
    other.session.base_url = osf.url
    with (root / "tables/aucs.csv").open("rb") as file:
        other.project(PROJECT).storage().create_file("demo/tables/aucs.csv", file)
    assert "tables/aucs.csv" not in paths(push(place(osf, root)))
    assert on_osf(osf) == shown(root)


def test_a_large_file_is_never_in_memory(osf, tmp_path):
    root = tmp_path / "here"
    write(root, "tables/large.bin", bytes(48 * 2**20))
    tracemalloc.start()
    push(place(osf, root))
    pull(place(osf, tmp_path / "there"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20
    assert (tmp_path / "there/tables/large.bin").stat().st_size == 48 * 2**20


# Zips


def test_with_zip_every_run_is_one_file_that_is_unpacked_again(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root), packed=True)
    assert sorted(on_osf(osf)) == sorted([*(f"{run}.zip" for run in RUNS), "tables/aucs.csv", "folds/chest.csv"])
    assert (
        zipfile.ZipFile(io.BytesIO(on_osf(osf)["pretrain/dtd.zip"])).read("history.csv")
        == b"version,1\npretrain/dtd,0\n"
    )
    pull(there)
    assert shown(there.root) == shown(root)
    assert paths(push(place(osf, root))) == paths(pull(there)) == []
    assert look.verify(there) == (5, {})


def test_only_the_zip_of_a_run_that_has_changed_is_sent_again(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root), packed=True)
    pull(there)
    make(root, 2, RUNS[:1])
    assert paths(push(place(osf, root))) == ["pretrain/dtd.zip", "tables/aucs.csv"] == paths(pull(there))
    assert shown(there.root) == shown(root)


def test_a_zip_that_does_not_hold_what_the_manifest_says_is_refused_and_the_run_left_as_it_was(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root), packed=True)
    pull(there)
    before = shown(there.root)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("run.json", json.dumps({"run_id": "false", "status": "completed"}))
    forge(osf, "pretrain/dtd.zip", buffer.getvalue(), contents="0" * 64)
    with pytest.raises(InputError, match="pretrain/dtd.zip' does not hold the files that its manifest says"):
        pull(there)
    assert shown(there.root) == before


def test_a_zip_that_leads_out_of_its_folder_is_refused(osf, tmp_path):
    push(place(osf, make(tmp_path / "here")), packed=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../../outside.txt", "out")
    forge(osf, "pretrain/dtd.zip", buffer.getvalue(), contents="0" * 64)
    with pytest.raises(InputError, match="does not lie below its folder"):
        pull(place(osf, tmp_path / "there"))
    assert not list(tmp_path.rglob("outside.txt"))


def forge(osf, path, body, **changes):
    """Put another file on OSF, and a manifest that vouches for it."""
    osf.write(PROJECT, f"demo/{path}", body)
    rows = list(csv.DictReader(io.StringIO(osf.files(PROJECT)[MANIFEST].decode())))
    for row in rows:
        if row["path"] == path:
            row |= {"sha256": hashlib.sha256(body).hexdigest(), "n_bytes": len(body)} | changes
    write_manifest(osf, rows)


def write_manifest(osf, rows):
    text = io.StringIO()
    table = csv.DictWriter(text, ["path", "sha256", "n_bytes", "run_id", "contents"])
    table.writeheader()
    table.writerows(rows)
    osf.write(PROJECT, MANIFEST, text.getvalue().encode())


# Both sides have changed


def test_a_file_changed_on_osf_is_named_and_not_written_over(osf, tmp_path):
    root = make(tmp_path / "here")
    push(place(osf, root))
    osf.write(PROJECT, "demo/pretrain/dtd/history.csv", b"somebody else's")
    make(root, 2)
    with pytest.raises(
        InputError, match="Not sent.*changed on OSF by somebody else: pretrain/dtd/history.csv. Pull first"
    ):
        push(place(osf, root))
    now = on_osf(osf)
    assert now["pretrain/dtd/history.csv"] == b"somebody else's"
    assert now["pretrain/dtd/model.keras"] != shown(root)["pretrain/dtd/model.keras"]  # a run goes as a whole
    assert now["transfer/dtd--chest/model.keras"] == shown(root)["transfer/dtd--chest/model.keras"]
    push(place(osf, root), force=True)
    assert on_osf(osf) == shown(root)


def test_another_machine_that_has_never_pulled_writes_nothing_over(osf, tmp_path):
    push(place(osf, make(tmp_path / "one")))
    before = on_osf(osf)
    with pytest.raises(InputError, match="another one is on OSF: pretrain/dtd/figures/auc.svg, "):
        push(place(osf, make(tmp_path / "two", 2)))
    assert on_osf(osf) == before


def test_a_file_changed_here_since_the_pull_is_named_and_not_written_over(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root))
    pull(there)
    write(there.root, "pretrain/dtd/history.csv", "edited by hand")
    make(root, 2)
    push(place(osf, root))
    with pytest.raises(InputError, match="Not fetched.*changed here since the last pull: pretrain/dtd/history.csv"):
        pull(there)
    assert (there.root / "pretrain/dtd/history.csv").read_text() == "edited by hand"
    assert b'"version": 1' in (there.root / "pretrain/dtd/run.json").read_bytes()
    assert b'"version": 2' in (there.root / "transfer/dtd--chest/run.json").read_bytes()
    pull(there, force=True)
    assert shown(there.root) == shown(root)


def test_a_file_that_somebody_creates_while_it_is_sent_is_not_written_over(osf, tmp_path):
    root = make(tmp_path / "here")

    def faults(where, method, path):
        if (where, method) == ("files", "PUT") and "name=aucs.csv" in path:
            osf.write(PROJECT, "demo/tables/aucs.csv", b"first!")

    osf.faults = faults
    with pytest.raises(InputError, match="changed on OSF meanwhile: tables/aucs.csv"):
        push(place(osf, root))
    assert on_osf(osf)["tables/aucs.csv"] == b"first!"
    assert look.status(place(osf, root)).to_push == ()


def test_a_file_that_somebody_changes_between_look_and_update_is_not_written_over(osf, tmp_path):
    root = make(tmp_path / "here")
    push(place(osf, root))
    write(root, "tables/aucs.csv", "new here")
    file = osf.projects[PROJECT].root.child("demo", "folder").child("tables", "folder").child("aucs.csv", "file")

    def faults(where, method, path):
        if where == "files" and method == "GET" and file.id in path and len(file.versions) == 1:
            osf.write(PROJECT, "demo/tables/aucs.csv", b"new there")

    osf.faults = faults
    with pytest.raises(InputError, match="changed on OSF meanwhile: tables/aucs.csv"):
        push(place(osf, root))
    assert on_osf(osf)["tables/aucs.csv"] == b"new there"


def test_two_machines_that_push_different_runs_share_one_manifest(osf, tmp_path):
    one, two = make(tmp_path / "one", runs=RUNS[:1]), make(tmp_path / "two", runs=RUNS[1:])
    push(place(osf, one))
    push(place(osf, two))
    pull(place(osf, tmp_path / "there"))
    assert shown(tmp_path / "there") == shown(one) | shown(two)


def test_rows_that_somebody_else_writes_at_the_same_time_are_kept(osf, tmp_path):
    one, two = make(tmp_path / "one", runs=RUNS[:1]), make(tmp_path / "two", runs=RUNS[1:])
    left = [place(osf, two)]

    def faults(where, method, path):
        if (where, method) == ("files", "PUT") and "name=osf_manifest.csv" in path and left:
            push(left.pop())

    osf.faults = faults
    push(place(osf, one))
    osf.faults = lambda *asked: None
    pull(place(osf, tmp_path / "there"))
    assert shown(tmp_path / "there") == shown(one) | shown(two)


def test_a_file_that_a_newer_run_no_longer_has_goes_and_own_notes_stay(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root))
    pull(there)
    write(there.root, "pretrain/dtd/my_notes.txt", "mine")
    write(there.root, "pretrain/dtd/.done", "")
    make(root, 2, RUNS[:1])
    (root / "pretrain/dtd/figures/auc.svg").unlink()
    push(place(osf, root))
    pull(there)
    assert shown(there.root) == shown(root) | {"pretrain/dtd/my_notes.txt": b"mine"}
    assert (there.root / "pretrain/dtd/.done").exists()


def test_a_packed_run_takes_the_former_ones_place_whole(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root), packed=True)
    pull(there)
    write(there.root, "pretrain/dtd/.done", "")
    make(root, 2, RUNS[:1])
    (root / "pretrain/dtd/figures/auc.svg").unlink()
    push(place(osf, root))
    pull(there)
    assert shown(there.root) == shown(root)
    assert (there.root / "pretrain/dtd/.done").exists()


def test_a_file_where_a_folder_should_be_is_named(osf, tmp_path):
    push(place(osf, make(tmp_path / "here")))
    write(tmp_path / "there", "tables", "no folder")
    with pytest.raises(
        InputError, match="Cannot read or write '.*tables': (File exists|Not a directory). Correct that"
    ):
        pull(place(osf, tmp_path / "there"))


def test_a_push_that_was_not_finished_is_not_pulled(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root))
    make(root, 2)
    n_puts = osf.count("files", "PUT") + 3
    osf.faults = lambda where, method, path: Fault("fails") if osf.count("files", "PUT") > n_puts else None
    with pytest.raises(InputError, match="OSF could not be reached, tried 5 times.*the server answers 503"):
        push(place(osf, root, n_jobs=1))
    osf.faults = lambda *asked: None
    with pytest.raises(
        InputError, match="after its manifest was written; whoever pushed it should push again: folds|pretrain"
    ):
        pull(there)
    runs = [run for run in RUNS if (there.root / run).exists()]
    assert 0 < len(runs) < len(RUNS)
    assert all(versions_of(there.root, run) == {"1"} for run in runs)
    push(place(osf, root))
    pull(there)
    assert shown(there.root) == shown(root)


# Looking without touching


def test_a_dry_run_changes_nothing_and_says_what_would_be_done(osf, tmp_path):
    root = make(tmp_path / "here")
    assert len(paths(push(place(osf, root), dry_run=True))) == 14
    assert on_osf(osf) == {} and osf.count("files", "PUT") == 0
    push(place(osf, root))
    assert len(paths(pull(place(osf, tmp_path / "there"), dry_run=True))) == 14
    assert shown(tmp_path / "there") == {}


def test_status_says_which_side_has_changed(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root))
    pull(there)
    osf.write(PROJECT, "demo/notes.txt", b"nobody's")
    write(root, "tables/aucs.csv", "new here")
    assert look.status(place(osf, root)).to_push == ("tables/aucs.csv",)
    push(place(osf, root))
    found = look.status(there)
    assert (found.to_push, found.to_pull, found.conflicts) == ((), ("tables/aucs.csv",), {})
    assert (len(found.same), found.unlisted) == (13, ("notes.txt",))
    write(there.root, "tables/aucs.csv", "and there")
    assert list(look.status(there).conflicts) == ["tables/aucs.csv"]


def test_verify_names_what_is_damaged_or_missing_on_either_side(osf, tmp_path):
    root = make(tmp_path / "here")
    push(place(osf, root))
    assert look.verify(place(osf, root)) == (14, {})
    write(root, "pretrain/dtd/model.keras", "damaged")
    (root / "folds/chest.csv").unlink()
    osf.write(PROJECT, "demo/tables/aucs.csv", b"damaged")
    assert look.verify(place(osf, root))[1] == {
        "folds/chest.csv": "not here",
        "pretrain/dtd/model.keras": "another one here",
        "tables/aucs.csv": "another one on OSF",
    }


# What a server may not make us do


@pytest.mark.parametrize(
    "path",
    ["../out.csv", "/etc/out.csv", "a/../../out.csv", "a\0b", "a\\b.csv", "C:/out.csv", ".osf/lock", "a//b.csv", ""],
)
def test_a_manifest_that_leads_out_of_the_folder_is_refused(osf, tmp_path, path):
    push(place(osf, make(tmp_path / "here")))
    before = sorted(tmp_path.rglob("*"))
    row = {"path": path, "sha256": hashlib.sha256(b"").hexdigest(), "n_bytes": 0, "run_id": "", "contents": ""}
    write_manifest(osf, [row])
    with pytest.raises(InputError, match="manifest.csv' is (refused|no manifest)"):
        pull(place(osf, tmp_path / "there"))
    assert [each for each in sorted(tmp_path.rglob("*")) if each not in before and ".osf" not in str(each)] == [
        tmp_path / "there"
    ]


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "a\0b"])
def test_a_file_on_osf_with_a_name_that_leads_elsewhere_is_refused(osf, tmp_path, name):
    push(place(osf, make(tmp_path / "here")))
    osf.write(PROJECT, "demo/odd", b"out").name = name
    with pytest.raises(InputError, match="which is none on every system"):
        pull(place(osf, tmp_path / "there"))


def test_something_else_in_the_manifests_place_is_refused(osf, tmp_path):
    osf.write(PROJECT, MANIFEST, b"\xff\xfe<html>")
    with pytest.raises(InputError, match="is no manifest"):
        pull(place(osf, tmp_path / "there"))


def test_nothing_is_pulled_from_where_nothing_was_pushed(osf, tmp_path):
    with pytest.raises(InputError, match="Nothing to pull: 'demo' in project abc12 has no osf_manifest.csv"):
        pull(place(osf, tmp_path / "there"))


# Killed


@pytest.mark.parametrize("point", ["downloads.keep", "pull._swap", "pull._link"])
def test_a_pull_that_is_killed_leaves_whole_runs_and_the_next_one_ends_it(osf, tmp_path, point):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root))
    pull(there)
    make(root, 2)
    push(place(osf, root))
    write(there.root, "pretrain/dtd/my_notes.txt", "mine")
    killed_at(f"catscans_lib.sharing.osf.{point}", "pull", there)
    assert all(len(versions_of(there.root, run)) == 1 for run in RUNS)
    pull(there)
    assert shown(there.root) == shown(root) | {"pretrain/dtd/my_notes.txt": b"mine"}
    assert not (there.root / ".osf" / "staging").exists()


def test_a_file_that_was_whole_when_the_pull_was_killed_is_not_fetched_again(osf, tmp_path):
    there = place(osf, tmp_path / "there")
    push(place(osf, write(tmp_path / "here", "tables/aucs.csv", "source,auc\n").parents[1]))
    killed_at("catscans_lib.sharing.osf.downloads.keep", "pull", there)
    osf.asked.clear()
    pull(there)
    assert osf.count("storage", "GET") == 1  # the manifest
    assert shown(there.root) == {"tables/aucs.csv": b"source,auc\n"}


def versions_of(root, run):
    """Of which versions the files of a run are."""
    history, record = (root / run / "history.csv").read_text(), json.loads((root / run / "run.json").read_text())
    return {history.split()[0].removeprefix("version,"), str(record["version"])}


def test_a_run_that_a_killed_pull_had_moved_aside_comes_back_with_what_was_only_there(osf, tmp_path):
    root, there = make(tmp_path / "here"), place(osf, tmp_path / "there")
    push(place(osf, root))
    pull(there)
    write(there.root, "pretrain/dtd/my_notes.txt", "mine")
    (there.root / "pretrain/dtd").rename(there.root / "pretrain/.dtd.old")
    pull(there)
    assert shown(there.root) == shown(root) | {"pretrain/dtd/my_notes.txt": b"mine"}


def test_a_push_killed_before_it_read_the_answer_is_ended_by_the_next_even_if_the_file_has_changed(osf, tmp_path):
    root = make(tmp_path / "here", runs=RUNS[:1])
    killed_at("catscans_lib.sharing.osf.uploads.answered", "push", place(osf, root))
    n_there = len(on_osf(osf))
    assert n_there == 1
    for path in shown(root):
        write(root, path, shown(root)[path] + b" ")
    push(place(osf, root))
    assert on_osf(osf) == shown(root)


def test_two_pushes_of_one_folder_at_a_time_are_refused(osf, tmp_path):
    import fcntl

    root = make(tmp_path / "here")
    push(place(osf, root))
    with (root / ".osf" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="Another push or pull is at work"):
            push(place(osf, root))


@pytest.mark.slow  # two short sweeps
def test_a_sweep_on_another_machine_takes_runs_that_were_pulled_as_they_are(osf, tmp_path):
    here, there = tiny.project(tmp_path / "here"), tiny.project(tmp_path / "there")
    tiny.catscans(here, "sweep", "ingest/dtd", check=True)
    push(place(osf, here / "results/demo"), packed=True)
    pull(place(osf, there / "results/demo"))
    shutil.copytree(here / "data", there / "data")  # images are not kept on OSF
    swept = tiny.catscans(there, "sweep", "ingest/dtd", check=True)
    assert "nothing to do: all 1 runs are there" in swept.stdout
    assert list(tiny.done(there)) == ["ingest/dtd"]
