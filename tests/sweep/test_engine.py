"""How Snakemake is started: on this machine within its memory, on a cluster as its profile says."""

import psutil
import pytest
import tiny
import yaml

from catscans_lib import results
from catscans_lib.sweep import engine


def resources(**given):
    command = engine.snakemake(engine.Sweep("demo", **given))
    places = [number for number, word in enumerate(command) if word == "--resources"]
    return [command[place + 1 :] for place in places]


def test_runs_share_the_memory_of_this_machine_and_a_cluster_has_its_own(project, monkeypatch):
    monkeypatch.setattr(engine, "memory_mb", lambda: 64000)
    cluster = project / "params/cluster/moon/config.yaml"
    cluster.parent.mkdir(parents=True)
    cluster.write_text(yaml.safe_dump({"cores": "all", "resources": ["gpu=1"]}))
    assert [words[0] for words in resources()] == ["mem_mb=64000"]
    assert [words[:2] for words in resources(cluster="moon")] == [["mem_mb=64000", "gpu=1"]]
    assert [words[0] for words in resources(options=("--resources", "gpu=1"))] == ["gpu=1"]
    cluster.write_text(yaml.safe_dump({"executor": "slurm"}))
    assert resources(cluster="moon") == []


@pytest.mark.slow
def test_two_runs_that_need_more_than_half_of_the_memory_go_one_after_the_other(project):
    memory_mb = psutil.virtual_memory().total // 2**20
    tiny.write_grid(project, tiny.grid() | {"resources": {"ingest": {"memory_mb": int(0.6 * memory_mb)}}})
    tiny.catscans(project, "sweep", "ingest/dtd", "ingest/chest", "-j", "2", check=True)
    (first, seconds), (second, _) = sorted(
        (results.finished_at("demo", key), results.record("demo", key)["seconds"])
        for key in ("ingest/dtd", "ingest/chest")
    )
    assert second - first > seconds / 2  # side by side, both would end at the same time
