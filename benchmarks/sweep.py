"""What does a run cost beside its work, and what do two runs at a time gain? Prints one table.

    .venv/bin/python benchmarks/sweep.py [--rounds 5] [--demo [DATASET ...]]

A run that only imports, starts and ends is made in two ways, which take turns round by round: by bare papermill, from the same
notebook without our calls (the floor), and by `catscans run`; then several of them, two at a time, and within a sweep. Wall time
tells what one waits for, processor time what a busy machine does not blur. With --demo, the whole demo sweep is run with one and
with two runs at a time; or that of some of its datasets, one of them imagenet, through which similarity looks.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
CLI = [sys.executable, "-m", "catscans_lib.cli.main"]
KINDS = {
    "pandas and matplotlib": "evaluate",
    "keras": "transfer",
}  # what is imported: the notebook whose imports these are
N_RUNS = 4
TARGET = 1.2


def project(folder: Path, step: str) -> None:
    """Make a project whose ingest runs do nothing but import what another step imports, and be recorded."""
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    names = [*yaml.safe_load((ROOT / "params/demo.yaml").read_text())["datasets"]][:N_RUNS]
    imports = _imports(folder / f"notebooks/{step}.ipynb")
    given = _parameters(folder / "notebooks/ingest.ipynb")
    called = ", ".join(f"{name}={name}" for name in ("profile", "dataset"))
    bare = [given, imports]
    start = f"{imports}\nfrom catscans_lib.runs import in_notebook\nrun = in_notebook.start('ingest', {called})"
    ours = [given, start, "run.finish()"]
    _write(folder / "bare.ipynb", bare)
    _write(folder / "notebooks/ingest.ipynb", ours)
    (folder / "names").write_text(" ".join(names))


def _imports(path: Path) -> str:
    """The lines of a notebook that import; the library comes with them."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return "\n".join(line for cell in cells for line in cell.splitlines() if line.startswith(("import ", "from ")))


def _parameters(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))


def _write(path: Path, cells: list[str]) -> None:
    notebook = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python"}})
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)


def took(folder: Path, *command: str) -> tuple[float, float]:
    """Wall and processor seconds of a command, with all that it starts."""
    env = {**os.environ, "CATSCANS_ROOT": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr}")
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ways(folder: Path) -> dict[str, tuple[float, float]]:
    """Seconds a run in every way; where several are made, two at a time, those of all divided by their number."""
    names = (folder / "names").read_text().split()
    options = "-k python3 --no-progress-bar --log-level ERROR -p dataset NAME"
    bare = f"{sys.executable} -m papermill bare.ipynb out.NAME.ipynb {options}"
    found = {}
    for n in (1, len(names)):
        shutil.rmtree(folder / "results", ignore_errors=True)
        here = " ".join(names[:n])
        floor = took(folder, "sh", "-c", f"printf '%s\\n' {here} | xargs -P 2 -I NAME {bare}")
        keys = [f"ingest/{name}" for name in names[:n]]
        ours = took(folder, *CLI, "sweep", "--jobs", "2", *keys) if n > 1 else took(folder, *CLI, "run", keys[0])
        how = f", {n} of them, two at a time" if n > 1 else ""
        for way, seconds in ((f"bare papermill{how}", floor), (f"catscans {'sweep' if n > 1 else 'run'}{how}", ours)):
            found[way] = tuple(one / n for one in seconds)
    return found


def overhead(rounds: int) -> list[dict]:
    """The table of one run's cost."""
    rows = []
    for kind, step in KINDS.items():
        with tempfile.TemporaryDirectory() as place:
            project(Path(place) / "project", step)
            ways(Path(place) / "project")  # compiles, warms the disk's cache
            measured = [ways(Path(place) / "project") for _ in range(rounds)]
        names = list(measured[0])
        for floor, ours in zip(names[::2], names[1::2], strict=True):
            least = [one[floor] for one in measured]
            for way in (floor, ours):
                here = [one[way] for one in measured]
                rows.append({"imports": kind, "way": way} | _columns(here, least, is_floor=way == floor))
    return rows


def _columns(here: list[tuple[float, float]], floor: list[tuple[float, float]], *, is_floor: bool) -> dict:
    columns = {}
    for place, name in enumerate(("wall s", "processor s")):
        values = [one[place] for one in here]
        ratios = [one[place] / least[place] for one, least in zip(here, floor, strict=True)]
        told = "" if is_floor else f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        columns |= {name: f"{statistics.median(values):.2f}", f"to floor, {name[:-2]}": told}
    return columns | {"target": "" if is_floor else f"<= {TARGET}"}


def demo(names: list[str]) -> list[dict]:
    """The demo sweep from nothing, with one run at a time and with two."""
    seconds = {}
    for jobs in (1, 2):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "project"
            for name in ("notebooks", "params"):
                shutil.copytree(ROOT / name, folder / name)
            shutil.copy(ROOT / "Snakefile", folder)
            if names:
                keep(folder / "params/demo.yaml", names)
            seconds[jobs] = took(folder, *CLI, "sweep", "-j", str(jobs))
    gain, what = seconds[1][0] / seconds[2][0], f"demo sweep of {', '.join(names)}" if names else "demo sweep"
    return [
        {"way": f"{what}, -j{jobs}", "wall s": f"{wall:.0f}", "processor s": f"{busy:.0f}"}
        | ({"to floor, wall": f"{gain:.2f} times as fast", "target": ">= 1.7"} if jobs > 1 else {})
        for jobs, (wall, busy) in seconds.items()
    ]


def keep(path: Path, names: list[str]) -> None:
    """Take all other datasets out of a grid."""
    grid = yaml.safe_load(path.read_text())
    for block in (grid["datasets"], grid["pretrain"]["sources"], grid["transfer"]["targets"]):
        for name in set(block) - set(names):
            del block[name]
    path.write_text(yaml.safe_dump(grid, sort_keys=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--demo", nargs="*", metavar="DATASET")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rows = overhead(given.rounds) if given.rounds else []
    rows += [] if given.demo is None else demo(given.demo)
    print(pd.DataFrame(rows).fillna("").to_string(index=False))
    print(f"{os.cpu_count()} cores, load average {load:.1f} at the start")


if __name__ == "__main__":
    main()
