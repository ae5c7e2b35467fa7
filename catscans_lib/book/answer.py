"""The answer in three sentences: which source, what it adds, whether similarity can tell; and what a heat map says in words."""

from typing import Any

from catscans_lib.book.templates import linked, listed, number


def sentences(context: dict[str, Any]) -> list[str]:
    """Return the answer of a profile, a Markdown sentence for each of the two questions and one between; empty without results.

    Parameters
    ----------
    context : dict
        What the chapters are rendered with, see `book.numbers.numbers`.
    """
    mode = next(iter(context["modes"]), "")
    answers = [(t["card"].title, a) for t in context["targets"] for a in t["answers"] if a["mode"] == mode]
    if not answers:
        return []
    found = [_which_source(answers), _what_it_adds(answers), _can_similarity_tell(context, mode)]
    return [sentence for sentence in found if sentence]


def _which_source(answers: list[tuple[str, dict[str, Any]]]) -> str:
    best = [
        f"**{a['title']}** for {target} (AUC {linked(number(a['mean']), a['page'])}, {_interval(a)})"
        for target, a in answers
    ]
    several = len({a["best"] for _, a in answers}) > 1
    lead = "The best source depends on the target" if several else "Which source"
    n = answers[0][1]["n_sources"]
    among = f"of {n} sources" if n > 1 else "the only source"
    return f"**{lead}.** With {answers[0][1]['mode_title']}, it is {listed(best)}, {among}."


def _what_it_adds(answers: list[tuple[str, dict[str, Any]]]) -> str:
    compared = [a["baseline"] for _, a in answers if a["baseline"]]
    longer = [a["longer"] for _, a in answers if a["longer"]]
    if not compared:
        return ""
    gains = listed(map(_difference, compared))
    text = f"**What pretraining adds.** Against random weights with the same budget the AUC changes by {gains}"
    if longer:
        text += f", against those with the longer budget by {listed(map(_difference, longer))}"
    return f"{text}, in the same order." if len(compared) > 1 else f"{text}."


def _can_similarity_tell(context: dict[str, Any], mode: str) -> str:
    rows = [row for row in context["predictions"].get(mode, []) if row["kind"] == "measure"]
    if not rows:
        return "**Whether similarity can tell** was not asked in this profile."
    sure = sum(row["p_max"] < 0.05 for row in rows)
    text = (
        f"**Can similarity tell?** Of {len(rows)} measures, {rows[0]['title']} orders the sources most like their AUC "
        f"(ρ = {number(rows[0]['value'], 2)}, {_interval(rows[0], 2)}); {sure or 'none'} of them order{'s' if sure < 2 else ''} "
        "them better than chance once all that were tried are counted"
    )
    carried = context["carried"].get(mode, {})
    if "chosen elsewhere" in carried and "always ImageNet" in carried:
        text += (
            f", and a measure chosen on the other targets loses {number(carried['chosen elsewhere'])} AUC against the best "
            f"source, always taking ImageNet {number(carried['always ImageNet'])}"
        )
    return f"{text}."


def _difference(other: dict[str, Any]) -> str:
    mean = number(other["difference"]["mean"], sign="+")
    return f"{mean} ({number(other['low'], sign='+')} to {number(other['high'], sign='+')})" if "low" in other else mean


def _interval(of: dict[str, Any], digits: int = 3) -> str:
    return f"95 % {number(of['low'], digits)} to {number(of['high'], digits)}"


def extremes(context: dict[str, Any]) -> dict[str, str]:
    """Return for every mode what a figure of all AUCs shows, in words for those who cannot see it."""
    names = [target["card"].title for target in context["targets"]]
    told = {}
    for mode, rows in context["results"].items():
        cells = [
            (cell["mean"], f"{row['title']} to {name}")
            for row in rows
            for name, cell in zip(names, row["cells"], strict=True)
            if cell and row["source"] != "none"
        ]
        if cells:
            (high, best), (low, worst) = max(cells), min(cells)
            told[mode] = (
                f"AUC of {len(rows)} starts on {len(names)} targets ({context['modes'][mode]}). Highest {number(high)}, "
                f"from {best}; lowest {number(low)}, from {worst}. All numbers are in the table of the chapter Transferability."
            )
    return told
