"""What the full study costs, and what larger ones would: the numbers of the chapter *What it costs*."""

from collections.abc import Callable
from typing import Any

from catscans_lib.grid import expand
from catscans_lib.sweep import costs

PROFILE = "paper"
LARGER = (  # sources, targets, folds, seeds
    (9, 3, 5, 1), (9, 3, 10, 1), (9, 3, 5, 3), (18, 3, 5, 1), (9, 6, 5, 1), (30, 10, 5, 1), (100, 50, 5, 1), (100, 50, 5, 3),
)  # fmt: skip


def numbers() -> dict[str, Any] | None:
    """Return the expected cost of the grid `paper`; None where there is no such grid.

    Returns
    -------
    dict
        ``steps``: rows with step, n_runs, n_trainings (folds, seeds and modes that train apart), gpu_h, cpu_h (on two cores),
        disk_gb and memory_gb of one run; ``total``: the same of all; ``larger``: rows with sources, targets, folds, seeds,
        n_trainings, gpu_h and disk_gb; ``rates``: what a figure rests on. Hours are those of one run after the other.
    """
    if PROFILE not in expand.profiles():
        return None
    loaded, runs = expand.load(PROFILE), expand.grid(PROFILE)
    on_gpu, on_cpu = (costs.estimator(PROFILE, with_gpu=gpu) for gpu in (True, False))
    by_step: dict[str, list[expand.Run]] = {}
    for run in runs.values():
        by_step.setdefault(run.step, []).append(run)
    rows = [_row(step, some, loaded, on_gpu, on_cpu) for step, some in by_step.items()]
    total = {name: sum(row[name] for row in rows) for name in rows[0] if name not in ("step", "memory_gb")}
    rates = {"gpu": costs.GPU_RATES[loaded.backbone], "cpu": costs.CPU_RATES[loaded.backbone]}
    return {"steps": rows, "total": total, "larger": _larger(runs, loaded, on_gpu), "rates": rates}


def _row(
    step: str, runs: list[expand.Run], loaded: expand.Profile, on_gpu: Callable[..., costs.Cost],
    on_cpu: Callable[..., costs.Cost],
) -> dict[str, Any]:  # fmt: skip
    gpu, cpu = [on_gpu(run) for run in runs], [on_cpu(run) for run in runs]
    return {
        "step": step,
        "n_runs": len(runs),
        "n_trainings": sum(_n_trainings(run, loaded) for run in runs),
        "gpu_h": sum(cost.seconds for cost in gpu if cost.on_gpu) / 3600,
        "cpu_h": sum(cost.seconds for cost in cpu) / 3600,
        "disk_gb": sum(cost.n_bytes for cost in gpu) / 1e9,
        "memory_gb": expand.resources(PROFILE, step).memory_mb / 1000,
    }


def _n_trainings(run: expand.Run, loaded: expand.Profile) -> int:
    if run.step == "pretrain":
        return int(run.parameters["weights"] is None)
    if run.step != "transfer":
        return 0
    n_modes = sum(mode != "linear_probe" for mode in run.parameters["modes"])
    return n_modes * loaded.folds.n_folds * len(run.parameters["seeds"])


def _larger(
    runs: dict[str, expand.Run], loaded: expand.Profile, on_gpu: Callable[..., costs.Cost]
) -> list[dict[str, Any]]:
    """Grids of other sizes, of sources and targets as large as those of the study are in the mean."""
    pretrained = [run for run in runs.values() if run.step == "pretrain"]
    transferred = [run for run in runs.values() if run.step == "transfer"]
    baselines = [run for run in transferred if run.settings.source == "none"]
    others = [run for run in transferred if run.settings.source != "none"]

    def mean(some: list[expand.Run], of: Callable[[expand.Run], float]) -> float:
        return sum(map(of, some)) / len(some)

    def seconds(run: expand.Run) -> float:
        return on_gpu(run).seconds

    def n_bytes(run: expand.Run) -> float:
        return on_gpu(run).n_bytes

    stores = [run for run in runs.values() if run.step == "ingest"]
    n_folds, n_seeds = loaded.folds.n_folds, len(loaded.transfer.seeds)
    rows = []
    for sources, targets, folds, seeds in LARGER:
        more = (folds - 1) / (n_folds - 1) * seeds / n_seeds  # of k folds a training sees k - 1
        trained = targets * (sources * mean(others, seconds) + mean(baselines, seconds)) * more
        kept = targets * (sources * mean(others, n_bytes) + mean(baselines, n_bytes))
        rows.append(
            {
                "sources": sources, "targets": targets, "folds": folds, "seeds": seeds,
                "n_trainings": sources * targets * folds * seeds,
                "gpu_h": (sources * mean(pretrained, seconds) + trained) / 3600,
                "disk_gb": (kept + sources * mean(pretrained, n_bytes) + (sources + targets) * mean(stores, n_bytes)) / 1e9,
            }
        )  # fmt: skip
    return rows
