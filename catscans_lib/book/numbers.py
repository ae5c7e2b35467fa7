"""Every number that the book prints, read from the result tables of one profile; nothing is typed by hand."""

from typing import Any

import pandas as pd
import yaml

from catscans_lib import datasets, paths, results
from catscans_lib.book import auc_tables, measure_tables
from catscans_lib.book.templates import linked, listed, number
from catscans_lib.datasets import demo
from catscans_lib.evidence import analyses
from catscans_lib.grid.steps import STEPS
from catscans_lib.sweep import plan

INTEGRITY = ("problems", "duplicates", "near_duplicates", "split_groups")


def numbers(profile: str) -> dict[str, Any]:
    """Return the variables of the chapters' templates; results may cover any part of the profile's grid.

    Returns
    -------
    dict
        ``profile``, ``demo`` (bool), ``settings`` ((key, value) pairs of the grid), ``datasets`` (card and what ingest
        found), ``overlaps`` (pairs of datasets that share images; None without the run), ``stability`` (rows of its
        tables; None without the run), ``runs`` (step to records), ``seconds`` (sum over runs), ``factors`` (ground truth
        of the demo), ``published`` (see `analyses.chapter_numbers`), ``answer`` (three sentences), ``extremes`` (mode to a text
        that describes the figure of all AUCs), and the variables of `auc_tables.numbers` and `measure_tables.numbers`.
    """
    runs = {step: records for step in STEPS if (records := _records(profile, step))}
    evaluated = auc_tables.numbers(profile)
    named = {run["name"] for step in ("ingest", "pretrain") for run in runs.get(step, [])} | evaluated["sources"]
    found = {
        "profile": profile,
        "demo": profile == "demo",
        "settings": _flat(yaml.safe_load(paths.params_path(profile).read_text(encoding="utf-8"))),
        "datasets": [_dataset(profile, name) for name in datasets.known() if name in named],
        "overlaps": _overlaps(profile) if "overlaps" in runs else None,
        "stability": _stability(profile) if "stability" in runs else None,
        "runs": runs,
        "seconds": sum(run["seconds"] for records in runs.values() for run in records),
        "factors": demo.shared_factors() if profile == "demo" else None,
        **evaluated,
        **measure_tables.numbers(profile, evaluated["modes"]),
        "published": analyses.chapter_numbers(profile),
    }
    return found | {"answer": answer(found), "extremes": extremes(found)}


def _flat(settings: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted key, value) pairs."""
    if isinstance(settings, dict):
        return [pair for key, value in settings.items() for pair in _flat(value, f"{prefix}.{key}".removeprefix("."))]
    return [(prefix, ", ".join(map(str, settings)) if isinstance(settings, list) else str(settings))]


def _records(profile: str, step: str) -> list[dict[str, Any]]:
    """Return the record of every finished run of a step, with its name, duration and page."""
    records = {name: results.record(profile, f"{step}/{name}") for name in results.finished(profile, step)}
    return [
        record | {"name": name, "seconds": plan.seconds_of(record), "page": auc_tables.page(profile, step, name)}
        for name, record in records.items()
    ]


def _dataset(profile: str, name: str) -> dict[str, Any]:
    """Return the card of a dataset and what ingest found; a source that came as weights is not ingested."""
    kinds = ("summary", "formats", "decoding", *INTEGRITY)
    found = {kind: results.optional(profile, f"ingest/{name}/{kind}.csv") for kind in kinds}
    summary, formats, decoding = found["summary"], found["formats"], found["decoding"]
    per_class = summary.groupby("class", sort=False)["n_images"].sum().to_dict() if len(summary) else {}
    return {
        "name": name,
        "card": datasets.get(name),
        "ingested": paths.run_dir(profile, "ingest", name).exists(),
        "n_found": sum(per_class.values()),
        "per_class": per_class,
        "decoding": decoding["mean_difference"].mean() if len(decoding) else None,
        "modes": formats.groupby("mode")["n_images"].sum().to_dict() if len(formats) else {},
        "sizes": formats.groupby("size")["n_images"].sum().nlargest(3).to_dict() if len(formats) else {},
        **{kind: found[kind].to_dict("records") for kind in INTEGRITY},
        "page": auc_tables.page(profile, "ingest", name),
    }


def _overlaps(profile: str) -> list[dict[str, Any]]:
    """Return dataset, other (titles), n_identical and n_alike of every two datasets that share an image."""
    titles, columns = datasets.titles(), ["dataset", "other", "n_identical", "n_alike"]
    counts = results.optional(profile, "overlaps/all/counts.csv", columns)
    shared = counts[(counts["n_identical"] > 0) | (counts["n_alike"] > 0)]
    return shared.assign(dataset=shared["dataset"].map(titles), other=shared["other"].map(titles)).to_dict("records")


def _stability(profile: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of summary (a verdict per source, target and mode), seed_spread and rank_agreement, with titles."""
    titles, folder = datasets.titles(), paths.run_dir(profile, "stability", "all")
    stems = {"summary": "stability_summary", "seed_spread": "seed_spread", "rank_agreement": "rank_agreement"}
    found = {}
    for name, stem in stems.items():
        path = folder / f"{stem}.csv"
        table = pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.is_file() else pd.DataFrame()
        for column, title in (("source", "title"), ("target", "target_title")):
            if column in table:
                table[title] = table[column].map(titles)
        found[name] = table.to_dict("records")
    return found


def answer(context: dict[str, Any]) -> list[str]:
    """Return the answer in three Markdown sentences: best sources, gain of pretraining, use of measures; empty without AUCs."""
    mode = next(iter(context["modes"]), "")
    answers = [(t["card"].title, a) for t in context["targets"] for a in t["answers"] if a["mode"] == mode]
    if not answers:
        return []
    sentences = [_best_sources(answers), _gain(answers), _use_of_measures(context, mode)]
    return [sentence for sentence in sentences if sentence]


def _best_sources(answers: list[tuple[str, dict[str, Any]]]) -> str:
    best = [
        f"**{a['title']}** for {target} (AUC {linked(number(a['mean']), a['page'])}, {_interval(a)})"
        for target, a in answers
    ]
    several = len({a["best"] for _, a in answers}) > 1
    lead = "The best source depends on the target" if several else "Which source"
    n = answers[0][1]["n_sources"]
    among = f"of {n} sources" if n > 1 else "the only source"
    return f"**{lead}.** With {answers[0][1]['mode_title']}, it is {listed(best)}, {among}."


def _gain(answers: list[tuple[str, dict[str, Any]]]) -> str:
    compared = [a["baseline"] for _, a in answers if a["baseline"]]
    longer = [a["longer"] for _, a in answers if a["longer"]]
    if not compared:
        return ""
    text = "**What pretraining adds.** Against random weights with the same budget, the AUC changes by " + listed(
        map(_difference, compared)
    )
    if longer:
        text += f"; against random weights with the longer budget, by {listed(map(_difference, longer))}"
    return f"{text}, in the same order." if len(compared) > 1 else f"{text}."


def _use_of_measures(context: dict[str, Any], mode: str) -> str:
    rows = [row for row in context["predictions"].get(mode, []) if row["kind"] == "measure"]
    if not rows:
        return "**Can similarity predict the best source?** This profile does not ask."
    n_sure = sum(row["p_max"] < 0.05 for row in rows)
    text = (
        f"**Can similarity predict the best source?** Of {len(rows)} measures, {rows[0]['title']} correlates best with the AUC "
        f"(ρ = {number(rows[0]['value'], 2)}, {_interval(rows[0], 2)}). After correction for all measures tried, "
        f"{n_sure or 'none'} of them rank{'s' if n_sure < 2 else ''} the sources better than chance"
    )
    carried = context["carried"].get(mode, {})
    if "chosen elsewhere" in carried and "always ImageNet" in carried:
        text += (
            f". A measure selected on the other targets loses {number(carried['chosen elsewhere'])} AUC against the best "
            f"source; always taking ImageNet loses {number(carried['always ImageNet'])}"
        )
    return f"{text}."


def _difference(other: dict[str, Any]) -> str:
    mean = number(other["difference"]["mean"], sign="+")
    return f"{mean} ({number(other['low'], sign='+')} to {number(other['high'], sign='+')})" if "low" in other else mean


def _interval(of: dict[str, Any], digits: int = 3) -> str:
    return f"95 % {number(of['low'], digits)} to {number(of['high'], digits)}"


def extremes(context: dict[str, Any]) -> dict[str, str]:
    """Return, for every mode, the text that describes the figure of all AUCs to readers who cannot see it."""
    names = [target["card"].title for target in context["targets"]]
    texts = {}
    for mode, rows in context["results"].items():
        cells = [
            (cell["mean"], f"{row['title']} to {name}")
            for row in rows
            for name, cell in zip(names, row["cells"], strict=True)
            if cell and row["source"] != "none"
        ]
        if cells:
            (high, best), (low, worst) = max(cells), min(cells)
            texts[mode] = (
                f"AUC of {len(rows)} initialisations on {len(names)} targets ({context['modes'][mode]}). Highest {number(high)}, "
                f"from {best}; lowest {number(low)}, from {worst}. The chapter Transferability has a table of all numbers."
            )
    return texts
