"""How to cite the book: what `CITATION.cff` says, for the front page and for the button *Cite* on every page."""

import json
from datetime import datetime
from typing import Any

import yaml

from catscans_lib import paths


def cited(commit: str, built: datetime) -> dict[str, Any]:
    """Return title, authors, version, date, year, licence, doi, address, repository (owner/name on GitHub), commit, text, gaps.

    What CITATION.cff lacks is "", and named in `gaps`, by what it is, with where to state it. `text` is one line.
    """
    path = paths.root() / "CITATION.cff"
    stated = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    config = yaml.safe_load((paths.root() / "_config.yml").read_text(encoding="utf-8"))
    people = [
        one.get("name") or ", ".join(one[key] for key in ("family-names", "given-names") if key in one)
        for one in stated.get("authors", [{"name": config["author"]}])
    ]
    found = {"title": stated.get("title") or config["title"], "authors": " and ".join(people)}
    keys = {
        "version": "version",
        "date": "date-released",
        "licence": "license",
        "doi": "doi",
        "address": "repository-code",
    }
    found |= {name: str(stated.get(key, "")) for name, key in keys.items()} | {"commit": commit}
    found["repository"] = found["address"].partition("github.com/")[2].strip("/")
    found["year"] = (found["date"] or str(built.year))[:4]
    place = f"https://doi.org/{found['doi']}" if found["doi"] else found["address"]
    which = ", ".join(f"{name} {found[name][:12]}" for name in ("version", "commit") if found[name])
    found["text"] = (
        f"{found['authors']} ({found['year']}). {found['title']}{f' ({which})' * bool(which)}. {place}".strip()
    )
    gaps = [f"{name} (`{key}` in `CITATION.cff`)" for name, key in keys.items() if not found[name]]
    return found | {"gaps": gaps + ["commit (the project is no git repository)"] * (not commit)}


def script(found: dict[str, Any]) -> bytes:
    """Return the data of the button *Cite* as a script: a page opened from the disk cannot load JSON."""
    return f"const CITED = {json.dumps(found, ensure_ascii=False)};\n".encode()
