"""The distance of two datasets by the answers of experts to a questionnaire about their images."""

import pandas as pd

from catscans_lib.errors import InputError
from catscans_lib.similarity.measure import Measure

ANSWERS = ["rater", "question", "answer"]


def expert_distance(answers: pd.DataFrame, source_answers: pd.DataFrame) -> float:
    """Share of answers that would have to change to describe both datasets alike, mean over questions.

    For each question this is the total variation distance, ``sum(|p - q|) / 2``, between the shares p and q of raters who gave
    each answer. Questions have equal weight; a rater answers a question at most once, and may skip it.

    Both tables have columns rater, question, answer, about one dataset each; the same questions in any order. 0: the same share
    of raters gave each answer; 1: no answer was given to both. Chance alone puts two groups of 14 raters 0.15 apart if half of
    all raters would say yes. Raises InputError if a column or an answer is missing, a rater answered a question twice, or the
    questions differ.

    Examples
    --------
    >>> def answered(*answers):
    ...     return pd.DataFrame({"rater": range(len(answers)), "question": "colour?", "answer": answers})
    >>> expert_distance(answered("yes", "yes", "yes", "no"), answered("yes", "no", "no", "no"))
    0.5
    """
    one, other = _shares(answers, "answers"), _shares(source_answers, "source_answers")
    if unlike := set(one.index.unique(0)) ^ set(other.index.unique(0)):
        raise InputError(f"Both datasets need the same questions; only one of them has: {', '.join(sorted(unlike))}.")
    apart = one.sub(other, fill_value=0).abs().groupby(level="question").sum() / 2
    return float(apart.mean())


def _shares(answers: pd.DataFrame, what: str) -> pd.Series:
    """Share of raters who gave an answer, by question and answer."""
    if missing := [column for column in ANSWERS if column not in answers.columns]:
        raise InputError(f"{what} needs the columns {', '.join(ANSWERS)}; missing: {', '.join(missing)}.")
    bad = answers[ANSWERS].isna().any(axis=1)
    if bad.any() or answers.empty:
        where = f"row {answers.index[bad.argmax()]}" if bad.any() else "every row"
        raise InputError(f"{what}: {where} is empty. Leave out the rows of questions that were not answered.")
    twice = answers.duplicated(["rater", "question"])
    if twice.any():
        rater, question = answers.loc[twice, ["rater", "question"]].iloc[0]
        raise InputError(
            f"{what}: rater {rater} answered '{question}' more than once. Pass the answers about one dataset."
        )
    return answers.groupby("question")["answer"].value_counts(normalize=True)


MEASURES = (
    Measure(
        name="expert_distance", title="Experts", function=expert_distance, arguments=("answers", "source_answers"),
        larger_is_closer=False, range=(0, 1), cost="O(n_raters n_questions)", reference="vandenbrandt2021, arXiv:2107.05940",
        blind_to="everything that the questionnaire does not ask; which of its questions matter", is_symmetric=True,
        why="the original study's second measure",
    ),
)  # fmt: skip
