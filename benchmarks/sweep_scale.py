"""What does a sweep of 100 sources and 50 targets cost before and after its trainings? Prints tables.

    .venv/bin/python benchmarks/sweep_scale.py [--only planning evaluation] [--largest 100x50x5x3]

Planning: a project with made-up datasets of one's own is planned, nothing is run: `catscans sweep --dry-run` as a user calls it
(one run trains all folds and seeds of a source and target), and Snakemake with every fold a job of its own, as on a cluster.
Evaluation: files of made-up predictions go through the functions of the notebook of evaluation, step by step. Seconds are wall
and processor time of one call, memory is the largest process's.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml
from scipy import special

from catscans_lib import figures, paths, results
from catscans_lib.evaluation import inference, intervals, learning, tables

ROOT = Path(__file__).parents[1]
SIZES = ((10, 5, 5, 3), (30, 15, 5, 3), (100, 5, 5, 3), (10, 50, 5, 3), (100, 50, 2, 1), (100, 50, 5, 1))


N_EPOCHS = 10
RECORD = {"status": "completed", "parameters": {"class_weights": "balanced", "patience": None}}


SAVED = (
    "aucs",
    "class_aucs",
    "learning",
    "fold_metrics",
    "auc_intervals",
    "comparisons",
    "transfer_scores",
    "gains",
    "ranks",
)


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
    grid["transfer"] |= {"targets": dict.fromkeys(targets), "seeds": list(range(shape.seeds)), "axes_sources": None}
    grid["pretrain"]["seeds"] = [0]
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


def write_predictions(shape: Shape, images: tuple[int, int]) -> None:
    """Write finished transfers of the profile `scale`; targets have numbers of images from `images`, evenly on a log scale.

    Scores of two classes, mode fine_tune; sources differ in what they tell, and share the images of a target, two a group.
    """
    rng = np.random.default_rng(0)
    names = ["none", *(f"s{n}" for n in range(shape.sources - 1))]
    trainings = [(fold + 1, seed, "fine_tune", 1e-3) for fold in range(shape.folds) for seed in range(shape.seeds)]
    rates = pd.DataFrame(trainings, columns=["fold", "seed", "mode", "learning_rate"])
    steps = product(range(1, N_EPOCHS + 1), ("train", "validation"), ("loss", "auc"))
    curves = rates.merge(pd.DataFrame(steps, columns=["epoch", "split", "metric"]), how="cross").assign(value=0.5)
    rates = rates.assign(validation_loss=0.5, chosen=True)
    for target, n_images in enumerate(np.geomspace(*images, shape.targets).round().astype(int)):
        number = np.arange(n_images)
        label = rng.integers(2, size=n_images)
        table = pd.DataFrame({"image_id": [f"i{n:05d}" for n in number], "group": [f"g{n // 2}" for n in number]})
        table = table.assign(fold=number // 2 % shape.folds + 1, mode="fine_tune", label=np.array(["a", "b"])[label])
        for source in names:
            parts = []
            for seed in range(shape.seeds):
                score = special.expit(rng.uniform(0, 1) * (2 * label - 1) + rng.normal(size=n_images))
                parts.append(table.assign(seed=seed, score_a=1 - score, score_b=score))
            folder = paths.run_dir("scale", "transfer", f"{source}--t{target}")
            folder.mkdir(parents=True)
            curves.to_csv(folder / "history.csv", index=False)
            rates.to_csv(folder / "learning_rates.csv", index=False)
            pd.concat(parts).to_csv(folder / "predictions.csv", index=False)
            (folder / results.RECORD).write_text(json.dumps(RECORD | {"run_id": folder.name}))


def evaluated(shape: Shape, n_draws: int) -> Iterator[dict]:
    """Seconds of every step of the evaluation of the predictions written."""
    table, run_ids = pd.DataFrame(), {}

    def read() -> pd.DataFrame:
        nonlocal table, run_ids
        table, run_ids = tables.with_categories(results.of_transfers("scale", "predictions")), results.run_ids("scale")
        return table

    titles = {f"{kind}{n}": f"{kind}{n}" for kind in "st" for n in range(100)} | {"none": "none"}
    made: dict[str, pd.DataFrame] = {}
    steps: dict[str, Callable[[], pd.DataFrame]] = {
        "read": read,
        "aucs": lambda: tables.aucs(table, run_ids),
        "class_aucs": lambda: tables.class_aucs(table),
        "learning": lambda: learning.of_profile("scale", made["class_aucs"]),
        "fold_metrics": lambda: tables.fold_metrics(table),
        "transfer_scores": lambda: tables.transfer_scores(made["aucs"]),
        "draws": lambda: intervals.draws(table, n_draws=n_draws, seed=0, average="weighted"),
        "auc_intervals": lambda: intervals.auc_intervals(made["aucs"], made["draws"], table),
        "comparisons": lambda: inference.comparisons(made["aucs"], made["draws"]),
        "gains": lambda: inference.gains(made["transfer_scores"], made["comparisons"]),
        "ranks": lambda: inference.ranks(made["aucs"])[0],
        "figure of AUCs": lambda: figures.auc_panels(made["aucs"], made["auc_intervals"], "fine_tune", titles=titles),
        "best_minus_others": lambda: inference.best_minus_others(made["aucs"], made["comparisons"], "fine_tune"),
        "figure of differences": lambda: figures.difference_panels(made["best_minus_others"], 0.01, titles=titles),
        "save": lambda: [made[name].to_csv(paths.root() / name) for name in SAVED],
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
    parser.add_argument("--draws", type=int, default=2000, help="of the bootstrap")
    parser.add_argument("--images", type=int, nargs=2, default=(420, 2000), help="fewest and most of a target")
    given = parser.parse_args()
    largest = Shape(*map(int, given.largest.split("x")))
    if "planning" in given.only:
        smaller = [shape for shape in map(Shape._make, SIZES) if shape.trainings < largest.trainings]
        rows = [row for shape in [*smaller, largest] for row in planning(shape)]
        print(pd.DataFrame(rows).to_string(index=False), flush=True)
    if "evaluation" in given.only:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["CATSCANS_ROOT"] = folder
            write_predictions(largest, given.images)
            rows = list(evaluated(largest, given.draws))
        print(pd.DataFrame(rows).to_string(index=False))
        wall_s, cpu_s = (sum(row[name] for row in rows) for name in ("wall_s", "cpu_s"))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"In all {wall_s:.0f} s, of the processor {cpu_s:.0f}, {memory:.1f} GB; {given.draws} draws.")


if __name__ == "__main__":
    main()
