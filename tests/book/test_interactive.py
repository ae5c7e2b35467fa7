import json
import re

import pandas as pd
import pytest
from small_book import ROOT

from catscans_lib import datasets
from catscans_lib.book import interactive

TITLES = datasets.titles()


def similarity():
    rows = [("logme", True, "dtd", 0.5), ("logme", True, "imagenet", 0.3)]
    rows += [("kid", False, "dtd", 0.5), ("kid", False, "imagenet", 0.3)]
    table = pd.DataFrame(rows, columns=["measure", "larger_is_closer", "source", "value"])
    return pd.concat([table.assign(seed=0), table.assign(seed=1, value=table["value"] + 0.2)]).assign(target="chest")


def traces(figure):
    """Return the traces of a piece of HTML, as the page's script reads them."""
    script = re.search(r'<script type="application/json" data-figure="[\w-]+">(.*)</script>', figure)
    return json.loads(script[1])["data"]


def test_points_are_means_over_draws_and_folds():
    values = [("dtd", 1, 0.91), ("dtd", 2, 0.92), ("imagenet", 1, 0.81), ("imagenet", 2, 0.82)]
    aucs = pd.DataFrame(values, columns=["source", "fold", "auc"]).assign(target="chest", mode="fine_tune", seed=0)
    measures = {"logme": "LogME", "kid": "KID"}
    piece = interactive.scatter(
        similarity(), aucs, measures=measures, modes={"fine_tune": "fine-tuning"}, titles=TITLES
    )
    shown = [trace for trace in traces(piece) if trace["meta"]["measure"] == "logme"]
    assert len(shown) == 1
    assert shown[0]["text"] == [TITLES["dtd"], TITLES["imagenet"]]
    assert (shown[0]["x"], shown[0]["y"]) == (pytest.approx([0.6, 0.4]), pytest.approx([0.915, 0.815]))
    assert shown[0]["meta"]["x"] == "LogME (larger is closer)"
    assert '<select data-figure="transfer-scatter" name="target"' in piece
    assert 'name="mode"' not in piece  # one choice needs no selector


def test_the_pages_script_loads_plotly_from_the_book():
    assert f'"../{interactive.SCRIPT}"' in (ROOT / "book/_static/interactive.js").read_text()
    assert len(interactive.script()) > 1_000_000
