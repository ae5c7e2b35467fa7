"""Whether networks learned, from their training loss and held-out AUC: a table of cases with losses and AUCs by hand."""

import numpy as np
import pandas as pd
import pytest

from catscans_lib.evaluation import learning, tables
from catscans_lib.evaluation.tables import KEYS

SETTINGS = {"class_weights": "balanced", "patience": None}
LN2, LN7 = np.log(2), np.log(7)
N = 60  # held-out images of each class: 1.96 sd of the AUC by chance are 0.104


def judged(losses, aucs, *, mode="fine_tune", n_classes=2, n=N, settings=SETTINGS, multi_label=False):
    """Judge one pair: the last training loss and the AUC of every fold; a loss of None has no curve."""
    key = {"source": "none", "target": "chest", "mode": mode, "seed": 0}
    curves = [
        key | {"fold": fold, "epoch": epoch, "split": "train", "metric": "loss", "value": value}
        for fold, last in enumerate(losses, start=1)
        for epoch, value in enumerate((1.5 * LN7, last), start=1)
        if last is not None
    ]
    of_classes = [
        key
        | {"fold": fold, "class": name, "auc": auc, "n_positive": n, "n_negative": n * (n_classes - 1)}
        | {"multi_label": multi_label}
        for fold, auc in enumerate(aucs, start=1)
        for name in "abcdefg"[:n_classes]
    ]
    columns = [*KEYS, "epoch", "split", "metric", "value"]
    return learning.verdicts(
        pd.DataFrame(curves, columns=columns), pd.DataFrame(of_classes), {("none", "chest"): settings}
    )


LEARNED, FAILED = "learned", "did not learn"
ONE_OF_TWO = "did not learn in 1 of 2 trainings"
CASES = {
    "learned": ([0.3, 0.4], [0.95, 0.93], {}, [LEARNED, LEARNED], None),
    "never left ln 2": ([0.694, 0.678], [0.50, 0.326], {}, [FAILED, FAILED], "did not learn"),
    "one fold failed": ([0.3, 0.69, 0.3], [0.9, 0.326, 0.9], {}, [LEARNED, FAILED, LEARNED], "did not learn in 1 of 3 trainings"),
    "knows its training images alone: useless, but it learned": ([0.05, 0.05], [0.5, 0.48], {}, [LEARNED] * 2, None),
    "low rate: ranks well before its loss moves": ([0.68, 0.68], [0.85, 0.80], {}, [LEARNED] * 2, None),
    "just below and above 95 % of ln 2": ([0.658, 0.659], [0.5, 0.5], {}, [LEARNED, FAILED], ONE_OF_TWO),
    "never left ln 2, while random features rank well": ([0.6931, 0.68], [0.876, 0.876], {}, [FAILED, LEARNED], ONE_OF_TWO),
    "AUC at both sides of 0.5 + 1.96 sd": ([0.68, 0.68], [0.60, 0.61], {}, [FAILED, LEARNED], ONE_OF_TWO),
    "many images: still 0.05 apart": ([0.68, 0.68], [0.54, 0.56], {"n": 10**6}, [FAILED, LEARNED], ONE_OF_TWO),
    "seven classes, learned": ([1.2, 1.3], [0.8, 0.8], {"n_classes": 7}, [LEARNED] * 2, None),
    "seven classes at ln 7": ([1.93, 1.99], [0.5, 0.52], {"n_classes": 7}, [FAILED] * 2, "did not learn"),
    "ln 2 is far below ln 7": ([0.69, 0.69], [0.5, 0.5], {"n_classes": 7}, [LEARNED] * 2, None),
    "seven findings, learned": ([0.3, 0.64], [0.8, 0.5], {"n_classes": 7, "multi_label": True}, [LEARNED] * 2, None),
    "seven findings at ln 2": ([0.69, 0.69], [0.6, 0.5], {"n_classes": 7, "multi_label": True}, [FAILED] * 2, "did not learn"),
    "seven findings of 1 in 7 at their entropy": ([0.409, 0.38], [0.5, 0.5], {"n_classes": 7, "multi_label": True,
        "settings": SETTINGS | {"class_weights": "none"}}, [FAILED, LEARNED], ONE_OF_TWO),
    "loss became NaN": ([np.nan, 0.3], [0.5, 0.9], {}, [FAILED, LEARNED], ONE_OF_TWO),
    "no AUC, loss at ln 2": ([0.69, 0.3], [np.nan, np.nan], {}, [FAILED, LEARNED], ONE_OF_TWO),
    "linear probe: no network is trained": ([None] * 2, [0.5, 0.5], {"mode": "linear_probe"}, ["not judged"] * 2, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_network_learned_if_its_loss_left_a_constant_prediction_or_its_auc_left_chance(case):
    losses, aucs, options, expected, words = CASES[case]
    verdicts = judged(losses, aucs, **options)
    assert verdicts["verdict"].tolist() == expected
    assert list(learning.failures(verdicts).values()) == ([words] if words else [])


def test_the_loss_of_a_constant_prediction_is_that_of_the_class_frequencies_unless_weights_balance_them():
    assert learning.constant_loss([90, 10], balanced=True) == pytest.approx(np.log(2))
    assert learning.constant_loss([90, 10], balanced=False) == pytest.approx(-0.9 * np.log(0.9) - 0.1 * np.log(0.1))
    assert learning.constant_loss([5, 0, 5], balanced=True) == pytest.approx(np.log(2))  # an absent class


def test_random_scores_exceed_the_chance_level_as_rarely_as_stated():
    rng = np.random.default_rng(0)
    positive = np.repeat([True, False], 40)
    limit = judged([0.3], [0.9], n=40)["chance_auc"].item()
    assert limit == pytest.approx(0.5 + 1.96 * np.sqrt(81 / (12 * 40 * 40)))
    aucs = [tables.metrics.area(positive, rng.random(80)) for _ in range(4000)]
    assert np.mean(np.array(aucs) > limit) == pytest.approx(0.025, abs=3 * np.sqrt(0.025 * 0.975 / 4000))


def test_with_patience_the_epoch_that_was_kept_counts():
    key = {"source": "none", "target": "chest", "mode": "fine_tune", "seed": 0, "metric": "loss"}
    curves = pd.DataFrame(
        [key | {"fold": fold, "epoch": epoch, "split": split, "value": value}
         for fold in (1, 2) for split, values in (("train", (0.69, 0.2)), ("validation", (0.6, 0.9)))
         for epoch, value in enumerate(values, start=1)]
    )  # fmt: skip
    counts = judged([0.69, 0.69], [0.5, 0.5])
    same = {"n_positive": N, "n_negative": N, "multi_label": False}
    of_classes = pd.concat([counts.assign(**{"class": name} | same) for name in "ab"])
    for patience, verdict in ((1, FAILED), (None, LEARNED)):
        settings = {("none", "chest"): SETTINGS | {"patience": patience}}
        assert set(learning.verdicts(curves, of_classes, settings)["verdict"]) == {verdict}


def test_a_pair_that_did_not_learn_takes_no_part_in_gains():
    aucs = pd.DataFrame(
        [{"source": source, "target": target, "mode": "fine_tune", "fold": fold, "seed": 0, "auc": 0.8}
         for source in ("none", "dtd") for target in ("chest", "isic2018") for fold in (1, 2, 3)]
    )  # fmt: skip
    kept = learning.without_failures(aucs, judged([0.3, 0.69, 0.3], [0.9, 0.326, 0.9]))
    assert set(map(tuple, kept[["source", "target"]].to_numpy())) == {
        ("dtd", "chest"), ("none", "isic2018"), ("dtd", "isic2018")
    }  # fmt: skip
    assert set(tables.transfer_scores(kept)["target"]) == {"isic2018"}
    pd.testing.assert_frame_equal(learning.without_failures(aucs, judged([0.3], [0.9])), aucs)
