"""How to cite the book: what `CITATION.cff` says, for the front page and for the button *Cite* on every page."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from packaging import licenses

from catscans_lib import paths
from catscans_lib.errors import InputError, read_yaml
from catscans_lib.runs import recipe

RULES = {  # what is stated -> its key in CITATION.cff, the form that it must have, and an example
    "version": ("version", r".+", "1.0.0"),
    "date": ("date-released", r"\d{4}-\d{2}-\d{2}", "2026-11-24"),
    "licence": ("license", r"", "MIT (https://spdx.org/licenses)"),
    "doi": ("doi", r"10\.\d+/\S+", "10.5281/zenodo.1234567"),
    "address": ("repository-code", r"https?://\S+", "https://github.com/owner/name"),
}


def cited(commit: str | None = None, built: datetime | None = None) -> dict[str, Any]:
    """Return what CITATION.cff states, with commit, year, published (a date), repository (owner/name on GitHub), text and gaps.

    What CITATION.cff lacks or states in an unknown form is "", and named in `gaps`. `text` is one line. None: of now.
    """
    commit, built = recipe.commit() if commit is None else commit, built or datetime.now(UTC)
    stated = _stated(paths.root() / "CITATION.cff")
    config = yaml.safe_load((paths.root() / "_config.yml").read_text(encoding="utf-8"))
    people = [
        one.get("name") or ", ".join(one[key] for key in ("family-names", "given-names") if key in one)
        for one in stated.get("authors", [{"name": config["author"]}])
    ]
    found = {"title": stated.get("title") or config["title"], "authors": " and ".join(people)}
    gaps = []
    for name, (key, form, example) in RULES.items():
        found[name] = given = str(stated.get(key, ""))
        if not given:
            gaps.append(f"{name} (`{key}` in `CITATION.cff`)")
        elif not (_is_licence(given) if name == "licence" else re.fullmatch(form, given)):
            gaps.append(f"{name} (`{key}` in `CITATION.cff` is '{given}', of unknown form; a known one: {example})")
            found[name] = ""
    found |= {"commit": commit, "repository": found["address"].partition("github.com/")[2].strip("/")}
    found["published"] = found["date"] or f"{built:%Y-%m-%d}"
    found["year"] = (found["date"] or str(built.year))[:4]
    place = f"https://doi.org/{found['doi']}" if found["doi"] else found["address"]
    which = ", ".join(f"{name} {found[name][:12]}" for name in ("version", "commit") if found[name])
    text = f"{found['authors']} ({found['year']}). {found['title']}{f' ({which})' * bool(which)}. {place}"
    found["text"] = text.strip()
    return found | {"gaps": gaps + ["commit (the project is no git repository)"] * (not commit)}


def _stated(path: Path) -> dict[str, Any]:
    stated = read_yaml(path, path.name) if path.is_file() else {}
    if not isinstance(stated, dict):
        raise InputError(f"{path.name} got {stated!r}; needed are title and authors. Restore it from git.")
    return stated


def _is_licence(text: str) -> bool:
    """Return whether a text is an SPDX licence expression."""
    try:
        return bool(licenses.canonicalize_license_expression(text))
    except licenses.InvalidLicenseExpression:
        return False
