import re

import pandas as pd

from catscans_lib import datasets, interactive

TITLES = datasets.titles()


def intervals():
    rows = [
        (source, "chest", mode, auc, auc - 0.05, auc + 0.05, method)
        for source, auc in (("dtd", 0.9), ("none", 0.7))
        for mode in ("fine_tune", "linear_probe")
        for method in ("bootstrap over groups", "DeLong over images")
    ]
    table = pd.DataFrame(rows, columns=["source", "target", "mode", "auc", "low", "high", "method"])
    return table.assign(fold_sd=0.02, n_images=600, n_groups=330, n_folds=5, n_seeds=1, n_draws=2000)


def outside(piece):
    """Addresses that the browser would load."""
    return re.findall(r"""(?:src=|<link[^>]*href=|from |import\()["']?(https?://[^"'> ]+)""", piece)


def test_a_cell_that_is_pointed_at_says_its_interval_and_what_it_rests_on():
    piece = interactive.auc_heatmap(
        intervals(), titles=TITLES, modes={"fine_tune": "fine-tuning", "linear_probe": "linear probe"}
    )
    text = piece.replace("\\u003c", "<").replace("\\u003e", ">")
    assert (
        "AUC 0.900<br>95 % 0.850 to 0.950 (bootstrap over groups)<br>spread of folds 0.020<br>600 images, 330 groups"
        in text
    )
    assert "linear probe" in text
    assert "DeLong" not in text
    assert 'aria-label="' in piece


def test_nothing_is_loaded_from_outside():
    piece = interactive.auc_heatmap(intervals(), titles=TITLES, modes={"fine_tune": "fine-tuning"})
    assert f'src="{interactive.SCRIPT}"' in piece
    assert outside(piece) == []
    table = interactive.table(intervals(), "aucs", "AUCs")
    assert outside(table) == []
    assert "0.9" in table
    assert len(interactive.script()) > 1_000_000
