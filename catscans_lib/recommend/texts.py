"""Writes a recommendation as text to print, and as one self-contained page with figures."""

import html
import io
from typing import Any

import pandas as pd

from catscans_lib.images import inventory

WIDTH = 28


def text(told: dict[str, Any]) -> str:
    """Return a recommendation as text to print."""
    lines = [headline(told), told["rests_on"], "", *_table(told), "", *(f"- {line}" for line in findings(told))]
    lines += ["", "Your images", *about_images(told)]
    if told["warnings"] or told["problems"] or told["notes"]:
        lines += ["", "Warnings", *(f"- {line}" for line in [*told["warnings"], *told["problems"], *told["notes"]])]
    return "\n".join(lines)


def headline(told: dict[str, Any]) -> str:
    """Return the first line: where to start, how probably that is best, and what it may cost."""
    best = told["advice"][0]
    if told["alone"]:
        return (
            f"No network could be loaded, so this is what is known without your images: start from {best['name']} (the best kind "
            f"with probability {best['p_best']:.2f})."
        )
    doubt = " On known targets, such advice did not beat always starting from ImageNet." * (
        told["beats_imagenet"] is False
    )
    return (
        f"{'DEMO, made-up images: ' * told['demo']}Start from {best['name']}: the best of {len(told['advice'])} with probability "
        f"{best['p_best']:.2f}; expected loss of AUC {best['loss']:.3f}.{doubt}"
    )


def _table(told: dict[str, Any]) -> list[str]:
    rows = told["advice"]
    width = max(WIDTH, *(len(row["name"]) + 2 for row in rows))
    lines = [f"{'candidate':<{width}}{'network':<20}{'AUC minus their mean (95 %)':<30}{'best':>6}{'loss':>8}"]
    for row in rows:
        gain = f"{row['gain']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        lines.append(
            f"{row['name']:<{width}}{row['backbone'] or '-':<20}{gain:<30}{row['p_best']:>6.2f}{row['loss']:>8.3f}"
        )
    return lines


def findings(told: dict[str, Any]) -> list[str]:
    """Return sentences on what the ranking means: its networks, its best two, pretraining at all, fewer images."""
    networks = {row["backbone"] for row in told["advice"] if row["backbone"]}
    found = []
    if len(networks) > 1:
        found.append(
            "The candidates have different networks. The known targets compare sources within one network, so they say little "
            "about the order of networks."
        )
    for one in told["within"]:
        order = ", ".join(f"{name} ({p:.2f})" for name, p in one["order"])
        found.append(
            f"Among the candidates with the network {one['backbone']} (probability of being the best of them): {order}."
        )
    if pair := told["settle"]:
        found.append(
            f"{pair['first']} is better than {pair['second']} with probability {pair['p_first']:.2f}. To fine-tune both on the "
            f"same folds and take the better one would gain {pair['saved']:.3f} AUC on average."
        )
    if pair := told["worth"]:
        found.append(
            f"Pretraining: {pair['first']} is better than random weights with probability {pair['p_first']:.2f}, by "
            f"{pair['difference']:.3f} AUC ({pair['low']:+.3f} to {pair['high']:+.3f})."
        )
    if half := told["half"]:
        same = half["order"][0] == told["advice"][0]["name"]
        other = (
            "the advice is the same"
            if same
            else f"the advice would be {half['order'][0]}, so your images do not settle it"
        )
        found.append(
            f"With {half['n_images']} of the {told['images']['n_read']} images {other} (probability {half['p_best']:.2f})."
        )
    elif not told["alone"]:
        found.append("Not compared with half the images: a class has too few images or groups to be halved.")
    return found


def about_images(told: dict[str, Any]) -> list[str]:
    """Return sentences on the images: what was looked at and left out, what occurs twice, how unusual they are."""
    images = told["images"]
    found = [f"{told['place']}: {images['n_found']:,} images found, {images['n_read']:,} looked at."]
    found += inventory.as_text(images).splitlines()
    if n := images["n_copies"]:
        found.append(f"Identical files: {n:,} set{'s' * (n > 1)}; each counts as one group.")
    for far in told["far"]:
        if far["distance"] <= far["farthest"]:
            found.append(
                f"Unusual: no; {far['nearest']} is no farther than the known targets of {far['profile']} from their sources."
            )
    if not told["far"]:
        found.append(
            "Unusual: not known, as no known images are on this machine; --from PROFILE of a finished sweep compares them."
        )
    return found


def page(told: dict[str, Any]) -> str:
    """Return a recommendation as one HTML page without any other file."""
    from catscans_lib import figures

    figures.set_style()
    advice = pd.DataFrame(told["advice"]).rename(columns={"name": "title"})
    counts = {"found": told["images"]["found_classes"], "looked at": told["images"]["classes"]}
    counts = pd.DataFrame(counts).fillna(0).astype(int).rename_axis("class").reset_index()
    shown = advice[["title", "source", "backbone", "gain", "low", "high", "p_best", "loss"]]
    parts = [
        f"<h1>{html.escape(headline(told))}</h1><p>{html.escape(told['rests_on'])}</p>",
        _svg(figures.advice_bars(advice, targets=told["evidence"]["n_targets"]).figure),
        shown.to_html(index=False, float_format="{:.3f}".format),
        _list("What this means", findings(told)), _list("Your images", about_images(told)), counts.to_html(index=False),
        _list("Warnings", [*told["warnings"], *told["problems"], *told["notes"]]),
    ]  # fmt: skip
    if told["check"]:
        check = pd.DataFrame(told["check"]).to_html(index=False, float_format="{:.3f}".format, na_rep="")
        parts.append(f"<h2>Check: each known target left out in turn</h2>{check}")
    style = "body{font-family:sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .6em;text-align:left}"
    title = html.escape(f"Advice for {told['place']}")
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
    return "\n".join([head, *parts, "</html>\n"])


def _list(title: str, sentences: list[str]) -> str:
    items = "".join(f"<li>{html.escape(one)}</li>" for one in sentences)
    return f"<h2>{title}</h2><ul>{items}</ul>" if sentences else ""


def _svg(figure: Any) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return file.getvalue()[file.getvalue().index("<svg") :]
