"""What does a sweep of 100 sources and 50 targets cost before and after its trainings? Prints tables.

    .venv/bin/python benchmarks/sweep_scale.py [--only planning evaluation] [--largest 100x50x5x3]

Planning: a project with made-up datasets of one's own is planned, nothing is run: `catscans sweep --dry-run` as a user calls it
(one run trains all folds and seeds of a source and target), and Snakemake with every fold a job of its own, as on a cluster.
Evaluation: made-up predictions go through the functions of the notebook of evaluation, step by step. Seconds are wall and
processor time of one call, memory is the largest process's.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from catscans_lib.evaluation import inference, intervals, tables

ROOT = Path(__file__).parents[1]
N_IMAGES = 200  # of a target, in groups of two
SIZES = ((10, 5, 5, 3), (30, 15, 5, 3), (100, 5, 5, 3), (10, 50, 5, 3), (100, 50, 2, 1), (100, 50, 5, 1))


class Shape(NamedTuple):
    """Numbers of a grid."""

    sources: int
    targets: int
    folds: int
    seeds: int

    @property
    def trainings(self) -> int:
        return self.sources * self.targets * self.folds * self.seeds


def project(folder: Path, shape: Shape) -> None:
    """Write the paper's grid with made-up datasets."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "params/datasets").mkdir(parents=True)
    (folder / "native").mkdir()
    (folder / "native/note").write_text("images would lie here")
    sources, targets = ([f"{kind}{n}" for n in range(count)] for kind, count in zip("st", shape[:2], strict=True))
    for name in [*sources, *targets]:
        card = {"title": name, "form": "folder", "place": name, "n_per_class": {"a": 5000, "b": 5000}}
        (folder / f"params/datasets/{name}.yaml").write_text(yaml.safe_dump(card))
    grid = yaml.safe_load((ROOT / "params/paper.yaml").read_text())
    grid["datasets"] = {name: {"size_px": 96} for name in [*sources, *targets]}
    grid["pretrain"]["sources"] = dict.fromkeys(sources)
    grid["transfer"] |= {"targets": dict.fromkeys(targets), "seeds": list(range(shape.seeds))}
    grid["folds"]["n_folds"], grid["similarity"]["probe"] = shape.folds, sources[0]
    (folder / "params/scale.yaml").write_text(yaml.safe_dump(grid))


def planned(folder: Path, command: list[str]) -> dict[str, object]:
    """Seconds and memory (MB) of a command that plans, and its number of jobs."""
    env = os.environ | {"CATSCANS_ROOT": str(folder), "CATSCANS_DATA": str(folder / "native")}
    start, log = time.perf_counter(), folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=env, stdout=out, stderr=out)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed: {log.read_text()[-2000:]}")
    return {
        "wall_s": round(time.perf_counter() - start, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "memory_mb": round(used.ru_maxrss / 1024),
    }


def planning(shape: Shape) -> Iterator[dict]:
    """Plan one grid as a dry run does, and by Snakemake alone."""
    ways = {
        "sweep --dry-run": ["catscans_lib.cli.main", "sweep", "--profile", "scale", "--dry-run"],
        "Snakemake": ["snakemake", "-n", "--quiet", "all", "-c2", "--config", "profile=scale"],
    }
    with tempfile.TemporaryDirectory() as folder:
        project(Path(folder), shape)
        n_transfers = shape.targets * (shape.sources + 1)  # and random weights
        for way, command in ways.items():
            n_jobs = n_transfers + 2 * shape.sources + 3 * shape.targets + 4
            yield {**shape._asdict(), "trainings": shape.trainings, "way": way, "jobs": n_jobs} | planned(
                Path(folder), command
            )


def predictions(shape: Shape) -> pd.DataFrame:
    """Scores of two classes, mode fine_tune; sources differ in what they tell, and share the images of a target."""
    rng, parts = np.random.default_rng(0), []
    names = ["none", *(f"s{n}" for n in range(shape.sources - 1))]
    number = np.arange(N_IMAGES)
    images = pd.DataFrame({"image_id": [f"i{n:05d}" for n in number], "group": [f"g{n // 2}" for n in number]})
    label = rng.integers(2, size=N_IMAGES)
    images = images.assign(fold=number // 2 % shape.folds + 1, label=np.array(["a", "b"])[label])
    for target in range(shape.targets):
        for source in names:
            for seed in range(shape.seeds):
                score = 1 / (1 + np.exp(-(rng.uniform(0, 1) * (2 * label - 1) + rng.normal(size=N_IMAGES))))
                parts.append(
                    images.assign(
                        source=source,
                        target=f"t{target}",
                        seed=seed,
                        mode="fine_tune",
                        score_a=1 - score,
                        score_b=score,
                    )
                )
    return pd.concat(parts, ignore_index=True)


def evaluated(shape: Shape, n_draws: int) -> Iterator[dict]:
    """Seconds of every step of the evaluation of made-up predictions."""
    table = predictions(shape)
    run_ids = {
        pair: "--".join(pair)
        for pair in table[["source", "target"]].drop_duplicates().itertuples(index=False, name=None)
    }
    made: dict[str, pd.DataFrame] = {}
    steps: dict[str, Callable[[], pd.DataFrame]] = {
        "aucs": lambda: tables.aucs(table, run_ids),
        "class_aucs": lambda: tables.class_aucs(table),
        "fold_metrics": lambda: tables.fold_metrics(table),
        "transfer_scores": lambda: tables.transfer_scores(made["aucs"]),
        "draws": lambda: intervals.draws(table, n_draws=n_draws, seed=0, average="weighted"),
        "auc_intervals": lambda: intervals.auc_intervals(made["aucs"], made["draws"], table),
        "comparisons": lambda: inference.comparisons(made["aucs"], made["draws"]),
        "gains": lambda: inference.gains(made["transfer_scores"], made["comparisons"]),
        "ranks": lambda: inference.ranks(made["aucs"])[0],
    }
    for step, work in steps.items():
        start, cpu = time.perf_counter(), time.process_time()
        made[step] = work()
        yield {
            **shape._asdict(), "step": step, "rows": len(made[step]), "wall_s": round(time.perf_counter() - start, 1),
            "cpu_s": round(time.process_time() - cpu, 1),
        }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("planning", "evaluation"), default=("planning", "evaluation"))
    parser.add_argument("--largest", default="100x50x5x3", help="sources x targets x folds x seeds")
    parser.add_argument("--draws", type=int, default=200, help="of the bootstrap; a profile takes 2,000")
    given = parser.parse_args()
    largest = Shape(*map(int, given.largest.split("x")))
    if "planning" in given.only:
        smaller = [shape for shape in map(Shape._make, SIZES) if shape.trainings < largest.trainings]
        rows = [row for shape in [*smaller, largest] for row in planning(shape)]
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
    if "evaluation" in given.only:
        rows = list(evaluated(largest, given.draws))
        print(pd.DataFrame(rows).to_string(index=False))
        wall_s, cpu_s = (sum(row[name] for row in rows) for name in ("wall_s", "cpu_s"))
        print(f"In all {wall_s:.0f} s, of the processor {cpu_s:.0f}; {N_IMAGES} images a target, {given.draws} draws.")


if __name__ == "__main__":
    main()
