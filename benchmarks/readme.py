"""Writes the README's first paragraph and picture from the finished run `evidence/all`.

.venv/bin/python benchmarks/readme.py [demo]
"""

import shutil
import sys

from catscans_lib import paths
from catscans_lib.book import templates
from catscans_lib.errors import InputError
from catscans_lib.evidence import chapters

BEGIN, END = "<!-- written by `benchmarks/readme.py` -->\n", "<!-- end -->\n"
PICTURE = "book/_static/evidence.svg"


def paragraph(profile: str) -> str:
    """Return the README's answer as Markdown; InputError without the run `evidence/all`."""
    numbers = chapters.numbers(profile)
    if numbers is None:
        raise InputError(
            f"Profile '{profile}' has no evidence. Make it: catscans sweep --profile {profile} evidence/all"
        )
    return templates.rendered("_readme.md", evidence=numbers)


def write(profile: str) -> None:
    """Replace the text between the two marks of README.md, and the picture that it shows."""
    path, text = paths.root() / "README.md", paragraph(profile)
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise InputError(
            f"README.md lacks the lines {BEGIN.strip()} and {END.strip()} around its answer. Restore them."
        )
    path.write_text(before + BEGIN + text + END + after, encoding="utf-8")
    shutil.copyfile(paths.run_dir(profile, chapters.STEP, "all") / "figures" / "means.svg", paths.root() / PICTURE)


if __name__ == "__main__":
    write(*sys.argv[1:] or ["demo"])
