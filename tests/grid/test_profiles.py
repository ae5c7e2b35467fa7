import json

import pytest
import tiny

from catscans_lib import paths
from catscans_lib.grid import profiles


@pytest.mark.parametrize("said_now", ["demo", "native"])
@pytest.mark.parametrize("ingested", ["demo", "native", None])
def test_the_mark_demo_follows_the_data_under_any_name_of_a_profile(project, said_now, ingested):
    grid = tiny.grid() | {"data": said_now}
    tiny.write_grid(project, grid, "mine")
    if ingested:
        folder = paths.run_dir("mine", "ingest", "chest")
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"status": "completed", "parameters": {"data": ingested}}))
    is_demo = "demo" in (said_now, ingested)
    assert profiles.is_demo("mine") is is_demo
    assert profiles.study("mine").is_demo is is_demo
