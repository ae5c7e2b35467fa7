"""Measures that need no features: experts on small examples; invalid embeddings."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from reference import REFERENCE, needs_reference

from catscans_lib.errors import InputError
from catscans_lib.similarity import task2vec
from catscans_lib.similarity.measures import experts


def form(**answers):
    """Answers to each question, one per rater."""
    rows = [(rater, question, answer) for question, given in answers.items() for rater, answer in enumerate(given)]
    return pd.DataFrame(rows, columns=["rater", "question", "answer"])


def test_the_expert_distance_is_the_total_variation_of_answers_mean_over_questions():
    one = form(medical=["yes", "yes"], colour=["rich", "rich", "one tone", "none"])
    other = form(colour=["rich", "one tone", "one tone", "one tone"], medical=["no", "no", "no"])
    colour = (abs(2 / 4 - 1 / 4) + abs(1 / 4 - 3 / 4) + 1 / 4) / 2
    assert experts.expert_distance(one, other) == pytest.approx((1 + colour) / 2)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (form(medical=["yes"], size=["big"]), "only one of them has: size"),
        (form(medical=["yes"]).drop(columns="rater"), "missing: rater"),
        (form(medical=["yes", None]), "row 1 is empty"),
        (form(medical=[]), "every row is empty"),
        (pd.concat([form(medical=["yes"])] * 2), "rater 0 answered 'medical' more than once"),
    ],
)
def test_answers_that_cannot_be_compared_are_refused(answers, message):
    with pytest.raises(InputError, match=message):
        experts.expert_distance(answers, form(medical=["yes"]))


@needs_reference
def test_the_published_answers_put_medical_images_nearer_to_each_other_than_to_photographs():
    of = dict(list(pd.read_csv(REFERENCE / "expert_answers.csv").groupby("dataset")))
    distance = {pair: experts.expert_distance(of[pair[0]], of[pair[1]]) for pair in permutations(of, 2)}
    assert distance["chest", "stl10"] == pytest.approx(distance["stl10", "chest"])
    assert max(distance["isic2018", "chest"], distance["pcam", "chest"]) < min(
        distance["stl10", "chest"], distance["dtd", "chest"]
    )


@pytest.mark.parametrize(
    ("fisher", "message"),
    [
        (np.ones(4), r"both of one probe network; got \(4,\) and \(3,\)"),
        ([1.0, np.nan, 0.0], "fisher: filter 1 is nan"),
        ([1.0, 0.0, -2.0], "fisher: filter 2 is -2.0"),
        (np.zeros(3), "fisher is 0 for all filters"),
    ],
)
def test_an_invalid_embedding_is_refused(fisher, message):
    with pytest.raises(InputError, match=message):
        task2vec.cosine(fisher, np.ones(3))
