"""Writes a recommendation as text to print, and as one self-contained page with figures."""

import html
import io
import textwrap
from typing import Any

import pandas as pd

from catscans_lib.images import inventory

ADVICE = {
    "name": "candidate", "backbone": "network", "gain": "AUC minus their mean", "low": "95 % from", "high": "to",
    "p_best": "probability of being the best", "loss": "expected loss of AUC",
}  # fmt: skip
CHECK = {
    "target": "target", "study": "study", "n": "sources", "advised": "advised", "p_advised": "its probability", "best": "best",
    "regret": "AUC lost by the advice", "regret_imagenet": "by always ImageNet", "regret_elsewhere": "by the best elsewhere",
    "regret_random": "by a random choice", "regret_probe": "by the best linear probe", "covered": "inside their intervals",
}  # fmt: skip
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>
body{font:1rem/1.5 system-ui,sans-serif;max-width:58rem;margin:auto;padding:1rem;color:#222;overflow-wrap:anywhere}
h1{font-size:1.4rem;line-height:1.3}h2{font-size:1.15rem;margin:1.5em 0 .3em}ul{margin:0;padding-left:1.2em}
svg{max-width:100%;height:auto}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;overflow-wrap:normal}
td,th{padding:.25em .7em;text-align:right;vertical-align:bottom;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}summary{margin:1.2em 0 .5em;font-weight:bold;cursor:pointer}
</style>"""


def text(told: dict[str, Any]) -> str:
    """Return a recommendation as text to print: the advice, the ranking, what it means, the images, warnings."""
    lines = [*_wrapped(headline(told), ""), "", *_table(told)]
    for title, sentences in ({"": findings(told)} | _about(told)).items():
        lines += ["", *filter(None, [title])] * bool(sentences)
        lines += [line for one in sentences for line in _wrapped(one, "- ")]
    return "\n".join(lines)


def headline(told: dict[str, Any]) -> str:
    """Return the first line: where to start, how probably that is best, and what it may cost."""
    best = told["advice"][0]
    if told["alone"]:
        known = f"the best kind with probability {best['p_best']:.2f}, known without your images"
        return f"Start from {best['name']}: {known}, as no network could be loaded."
    doubt = " On known targets such advice was no better than always ImageNet." * (told["beats_imagenet"] is False)
    start = f"{'DEMO, made-up images, recommends nothing: ' * told['demo']}Start from {best['name']}"
    odds = f"the best of {len(told['advice'])} with probability {best['p_best']:.2f}, expected loss of AUC {best['loss']:.3f}."
    return f"{start}: {odds}{doubt}"


def _wrapped(sentence: str, mark: str) -> list[str]:
    options = {"subsequent_indent": " " * len(mark), "break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(sentence if sentence.startswith("  ") else mark + sentence, 100, **options)


def _table(told: dict[str, Any]) -> list[str]:
    rows = [("candidate", "network", "AUC minus their mean (95 %)", "best", "loss")]
    for row in told["advice"]:
        gain = f"{row['gain']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        rows.append((row["name"], row["backbone"] or "-", gain, f"{row['p_best']:.2f}", f"{row['loss']:.3f}"))
    name, network = (max(len(row[place]) for row in rows) + 2 for place in (0, 1))
    return [f"{row[0]:<{name}}{row[1]:<{network}}{row[2]:<28}{row[3]:>5}{row[4]:>7}" for row in rows]


def findings(told: dict[str, Any]) -> list[str]:
    """Return sentences on what the ranking means: its networks, its best two, pretraining at all, fewer images."""
    advice, found = told["advice"], list(told["rests_on"])
    if len({row["backbone"] for row in advice} - {""}) > 1:
        found.append("Known targets compare sources within one network: they say little about the order of networks.")
    for one in told["within"]:
        order = ", ".join(f"{name} ({p:.2f})" for name, p in one["order"])
        found.append(f"Probability of being the best with the network {one['backbone']}: {order}.")
    if pair := told["settle"]:
        settle = f"To fine-tune both on the same folds and take the better one would gain {pair['saved']:.3f} AUC on average."
        found.append(f"{pair['first']} beats {pair['second']} with probability {pair['p_first']:.2f}. {settle}")
        known = [row["name"] for row in advice if row["has_results"] and row["name"] in (pair["first"], pair["second"])]
        if len(known) == 1:
            found.append(f"Of these two, only {known[0]} has results on known targets, which count beside the scores.")
    if pair := told["worth"]:
        by = f"by {pair['difference']:.3f} AUC ({pair['low']:+.3f} to {pair['high']:+.3f})"
        odds = f"{pair['first']} is better than random weights with probability {pair['p_first']:.2f}"
        found.append(f"Pretraining: {odds}, {by}.")
    if half := told["half"]:
        first, of = half["order"][0], f"With {half['n_images']} of the {told['images']['n_read']} images the advice"
        other = "is the same" if first == advice[0]["name"] else f"would be {first}: your images do not settle it"
        found.append(f"{of} {other} (probability {half['p_best']:.2f}).")
    elif not told["alone"]:
        found.append("Not compared with half the images: a class has too few images or groups to be halved.")
    return found


def _about(told: dict[str, Any]) -> dict[str, list[str]]:
    """Return sentences on the images (looked at, left out, occurring twice, how unusual), and warnings, by their title."""
    images = told["images"]
    found = [f"{told['place']}: {images['n_found']:,} images found, {images['n_read']:,} looked at."]
    found += inventory.as_text(images).splitlines()
    if n := images["n_copies"]:
        found.append(f"Identical files: {n:,} set{'s' * (n > 1)}; each counts as one group.")
    if look := told["look"]:
        most = f", most like {look['nearest']} ({look['near']:.0%})" * (look["near"] > 0)
        known = f"{1 - look['unlike']:.0%} look like one of {look['n_targets']} known targets{most}"
        found.append(f"Look (colour, brightness, texture and layout, not what they show): {known}.")
    return {"Your images": found, "Warnings": [*told["warnings"], *told["problems"], *told["notes"]]}


def page(told: dict[str, Any]) -> str:
    """Return a recommendation as one HTML page without any other file."""
    from catscans_lib import figures

    figures.set_style()
    advice = pd.DataFrame(told["advice"])
    figure = figures.advice_bars(advice.rename(columns={"name": "title"}), targets=told["evidence"]["n_targets"]).figure
    file = io.StringIO()
    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    parts = [
        f"<h1>{html.escape(headline(told))}</h1>", file.getvalue()[file.getvalue().index("<svg") :],
        _html_table(advice, ADVICE), _list("What this means", findings(told)), *(_list(*part) for part in _about(told).items()),
    ]  # fmt: skip
    if told["check"]:
        check = pd.DataFrame(told["check"])
        title = f"Would it have been right? Each of {len(check)} known targets left out in turn"
        parts.append(f"<details><summary>{title}</summary>{_html_table(check, CHECK)}</details>")
    title = html.escape(f"Advice for {told['place']}")
    return f"{HEAD}<title>{title}</title>\n" + "\n".join(parts) + "\n</html>\n"


def _html_table(table: pd.DataFrame, titles: dict[str, str]) -> str:
    shown = table[list(titles)].rename(columns=titles)
    return f'<div class="wide">{shown.to_html(index=False, border=0, float_format="{:.3f}".format, na_rep="")}</div>'


def _list(title: str, sentences: list[str]) -> str:
    items = "".join(f"<li>{html.escape(one)}</li>" for one in sentences)
    return f"<h2>{title}</h2><ul>{items}</ul>" if sentences else ""
