"""What was read of a dataset, what was left out and why: one block that every command which reads images or tables ends with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from catscans_lib.errors import InputError, and_more
from catscans_lib.images import findings

if TYPE_CHECKING:
    import pandas as pd

VARIABLE = re.compile(r"'[^']*'|\d+(?:[.,]\d+)*")  # what differs between problems of one kind: quoted names and numbers


def inventory(
    images: pd.DataFrame, problems: pd.DataFrame, *, group: str | None = None, near: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Return what was read of `images` (path, label, group), as plain values.

    Labels are "" where the classes are not known. `problems` (path, problem): a path among the images means that the image was
    read in part, an empty one a note on the whole dataset; any other was left out. `group` is what a group is (None: unknown);
    `near` is as `checks.near_duplicates` returns it (None: not looked for).
    """
    labels = images.loc[images["label"] != "", "label"]
    is_note = problems["path"] == ""
    is_read = problems["path"].isin(images["path"]) & ~is_note
    sizes = images["group"].value_counts() if group else None
    if near is not None:
        across = near["across"].str.contains("label")
        example = " and ".join((near[across] if across.any() else near).head(1)[["one", "other"]].to_numpy().ravel())
        near = {"n_pairs": len(near), "n_across_classes": int(across.sum()), "example": example}
    return {
        "n_read": len(images),
        "classes": {str(label): int(n) for label, n in findings.each(labels).value_counts().sort_index().items()},
        "group": group,
        "n_groups": None if sizes is None else len(sizes),
        "largest_group": None if sizes is None else int(sizes.max()),
        "left_out": _by_reason(problems[~is_note & ~is_read]),
        "read_in_part": _by_reason(problems[is_read]),
        "notes": list(problems.loc[is_note, "problem"]),
        "near_duplicates": near,
    }


def as_text(found: dict[str, Any]) -> str:
    """Format an inventory for the terminal; the last lines of a command."""
    counts = and_more([f"{label} {n:,}" for label, n in found["classes"].items()], 12)
    known = f" in {len(found['classes'])} classes ({counts})" if counts else ""
    lines = [f"Read: {found['n_read']:,} images{known}."]
    if counts and found["n_groups"] is None:
        lines.append("Groups: none. Images of one patient may land in different folds, which inflates the AUC.")
    elif counts:
        largest = f"the largest has {found['largest_group']:,} images"
        lines.append(f"Groups ({found['group']}): {found['n_groups']:,}; {largest}.")
    for title, key in (("Left out", "left_out"), ("Read in part", "read_in_part")):
        lines.append(f"{title}: {sum(row['n'] for row in found[key]):,}." if found[key] else f"{title}: nothing.")
        lines += [f"  {row['n']:,} x {row['reason']}. Example: {row['example']}" for row in found[key]]
    near = found["near_duplicates"]
    if counts and near is None:
        lines.append("Near duplicates: not looked for here; `ingest` finds them.")
    elif near is not None:
        across = f", {near['n_across_classes']:,} of them with two labels" if near["n_across_classes"] else ""
        example = f". Example: {near['example']}" if near["n_pairs"] else ""
        lines.append(f"Near duplicates: {near['n_pairs']:,} pair{'s' * (near['n_pairs'] != 1)}{across}{example}")
    return "\n".join([*lines, *(f"Note: {note}" for note in found["notes"])])


def refuse_losses(found: dict[str, Any]) -> None:
    """InputError if anything was left out or read in part: what the option --strict asks for."""
    if losses := [*found["left_out"], *found["read_in_part"]]:
        n, first = sum(row["n"] for row in losses), losses[0]
        raise InputError(f"--strict: {n:,} losses. First: {first['reason']}: {first['example']}.")


def _by_reason(problems: pd.DataFrame) -> list[dict[str, Any]]:
    """Return reason (of the first such problem), n and example (a path), most frequent first."""
    problems = problems.assign(kind=problems["problem"].str.replace(VARIABLE, "", regex=True))
    found = problems.groupby("kind", sort=False).agg(
        reason=("problem", "first"), n=("path", "size"), example=("path", "first")
    )
    found["reason"] = found["reason"].str.removesuffix("; left out")
    return found.sort_values("n", ascending=False, kind="stable").to_dict("records") if len(problems) else []
