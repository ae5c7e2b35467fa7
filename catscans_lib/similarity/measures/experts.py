"""How alike do experts find two datasets? From the answers on a form, or from a table of given distances."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.similarity.measure import Measure

ANSWERS = ["rater", "question", "answer"]
GIVEN = ["source", "target", "expert_distance"]


def expert_distance(answers: pd.DataFrame, source_answers: pd.DataFrame) -> float:
    """Share of answers that would have to change for two datasets to be described alike, mean over questions.

    For each question that is the total variation distance, ``sum(|p - q|) / 2``, between the shares p and q of raters who gave
    each answer. Questions weigh the same; each rater answers a question at most once, and may leave one out.

    Parameters
    ----------
    answers, source_answers : pandas.DataFrame
        Columns rater, question, answer, of one dataset each; the same questions in both, in any order.

    Returns
    -------
    float
        0: all questions are answered alike by the same share of raters; 1: no answer was given to both. Chance alone puts two
        groups of 14 raters 0.15 apart where half of all raters would say yes.

    Raises
    ------
    InputError
        If a column or an answer is missing, a rater answered a question twice, or the questions differ.

    Examples
    --------
    >>> def answered(*answers):
    ...     return pd.DataFrame({"rater": range(len(answers)), "question": "colour?", "answer": answers})
    >>> expert_distance(answered("yes", "yes", "yes", "no"), answered("yes", "no", "no", "no"))
    0.5
    """
    one, other = _shares(answers, "answers"), _shares(source_answers, "source_answers")
    if unlike := set(one.index.unique(0)) ^ set(other.index.unique(0)):
        raise InputError(
            f"Two datasets are compared on the same questions; only one of them has: {', '.join(sorted(unlike))}."
        )
    apart = one.sub(other, fill_value=0).abs().groupby(level="question").sum() / 2
    return float(apart.mean())


def _shares(answers: pd.DataFrame, what: str) -> pd.Series:
    """Share of raters who gave an answer, by question and answer."""
    if missing := [column for column in ANSWERS if column not in answers.columns]:
        raise InputError(f"{what} has columns {', '.join(ANSWERS)}; not there: {', '.join(missing)}.")
    bad = answers[ANSWERS].isna().any(axis=1)
    if bad.any() or answers.empty:
        where = f"row {answers.index[bad.argmax()]}" if bad.any() else "every row"
        raise InputError(f"{what}: {where} is empty. Leave out the rows of questions that were not answered.")
    twice = answers.duplicated(["rater", "question"])
    if twice.any():
        rater, question = answers.loc[twice, ["rater", "question"]].iloc[0]
        raise InputError(
            f"{what}: rater {rater} answered '{question}' more than once. Pass the answers of one dataset."
        )
    return answers.groupby("question")["answer"].value_counts(normalize=True)


def between_all(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the distance of every dataset to every other and itself.

    Parameters
    ----------
    answers : pandas.DataFrame
        Columns dataset, rater, question, answer.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, expert_distance (as `expert_distance`), n_raters (the smaller number of the two).
    """
    if "dataset" not in answers.columns:
        raise InputError(
            f"A form has columns dataset, {', '.join(ANSWERS)}; got {', '.join(map(str, answers.columns))}."
        )
    of = dict(list(answers.groupby("dataset")))
    rows = [
        (source, target, expert_distance(of[target], of[source]), min(of[name]["rater"].nunique() for name in (source, target)))
        for source, target in product(of, repeat=2)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=[*GIVEN, "n_raters"])


def read_distances(path: Path) -> pd.DataFrame:
    """Read given distances, such as experts agreed on, and divide them by the largest.

    Parameters
    ----------
    path : pathlib.Path
        CSV with columns source, target, expert_distance (at least 0); others are left alone.

    Returns
    -------
    pandas.DataFrame
        Columns source, target, expert_distance (as given), normalised (in [0, 1]).

    Raises
    ------
    InputError
        If the file or a column is missing, a distance is no number from 0 on, or a pair is given twice.
    """
    if not path.is_file():
        raise InputError(f"No table of expert distances '{path}'. It has columns {', '.join(GIVEN)}.")
    table = pd.read_csv(path, keep_default_na=False)
    if missing := [column for column in GIVEN if column not in table.columns]:
        raise InputError(
            f"{path}: a table of expert distances has {', '.join(GIVEN)}; not there: {', '.join(missing)}."
        )
    table = table[GIVEN].assign(expert_distance=pd.to_numeric(table["expert_distance"], errors="coerce"))
    bad = ~(table["expert_distance"] >= 0) | ~np.isfinite(table["expert_distance"])
    if bad.any():
        source, target = table.loc[bad, ["source", "target"]].iloc[0]
        raise InputError(f"{path}: the distance of {source} and {target} is no number from 0 on.")
    if table.duplicated(["source", "target"]).any():
        source, target = table.loc[table.duplicated(["source", "target"]), ["source", "target"]].iloc[0]
        raise InputError(f"{path}: {source} and {target} are given more than once.")
    largest = table["expert_distance"].max()
    return table.assign(normalised=table["expert_distance"] / largest if largest > 0 else 0.0)


MEASURES = (
    Measure(
        name="expert_distance", title="Experts", function=expert_distance, arguments=("answers", "source_answers"),
        larger_is_closer=False, range=(0, 1), cost="O(n_raters n_questions)", reference="vandenbrandt2021, arXiv:2107.05940",
        blind_to="what the form does not ask; which questions matter", is_symmetric=True,
    ),
)  # fmt: skip
