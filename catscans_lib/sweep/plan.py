"""The plan of a sweep: its runs by step, how many are done, and the expected time and disk space of the others.

Costs come from finished runs, else from measured rates. Training is counted in images passed through the network: images
times epochs, for every fold, seed and learning rate.
"""

import math
from typing import Any, NamedTuple

from catscans_lib import results
from catscans_lib.errors import and_more
from catscans_lib.grid import expand, fraction, profiles
from catscans_lib.grid.axes import n_images, n_stored
from catscans_lib.grid.expand import PlannedRun
from catscans_lib.grid.schema import Profile
from catscans_lib.grid.steps import STEPS

FORWARD = 0.2  # cost of a prediction in training passes: 121 against 537 images/s, ResNet50 (benchmarks/RESULTS.md)

# Images per second in training, at an image side (pixels), and where that was measured
CPU_RATES = {
    "resnet50": (96.0, 96, "benchmarks/RESULTS.md, 2 cores of an Intel Xeon with AMX"),
    "squeezenet": (590.0, 64, "the sample, two runs at a time on 2 cores with bfloat16 instructions"),
    "efficientnet_lite0": (100.0, 64, "the sample, two runs at a time on 2 cores, float32"),
    "small_resnet": (1500.0, 32, "the demo, three runs at a time on 2 cores"),
}
GPU_RATES = {  # images from the store, augmented, deterministic
    "resnet50": (2250.0, 112, "benchmarks/RESULTS.md, one H100 with Keras on JAX, before prefetching"),
}
# Of a network: MB when saved without its optimiser, and features per image, 4 bytes each; others count as ResNet50
SIZES = {
    "resnet50": (95.0, 2048),
    "small_resnet": (0.37, 64),
    "squeezenet": (3.0, 512),
    "efficientnet_lite0": (14.0, 1280),
}

WITH_OPTIMISER = 3  # times the size of a network: Adam keeps two numbers per weight
LONG_S = 2 * 86400  # wall time from which on the plan proposes a part of the grid


class Cost(NamedTuple):
    """Expected seconds (None: unknown), bytes on disk, and the source of the seconds."""

    seconds: float | None
    n_bytes: float
    source: str


def text(
    profile: str, runs: dict[str, PlannedRun], done: list[str], chosen: list[str], *, with_gpu: bool, n_parallel: int
) -> str:
    """Return the plan of the runs `chosen` (with all they need), of which `done` are up to date; `n_parallel` go at a time."""
    waiting = [key for key in chosen if key not in set(done)]
    of_all = f"{len(chosen)} of " if len(chosen) < len(runs) else ""
    head = f"params/{profile}.yaml: {of_all}{len(runs)} runs, {len(chosen) - len(waiting)} done, {len(waiting)} to run"
    if not waiting:
        return head
    costs = costs_of(profile, runs, waiting, with_gpu=with_gpu)
    lines = [head, f"  {'step':16}{'runs':>6}{'done':>6}{'to run':>8}{'time':>11}"]
    for step in dict.fromkeys(runs[key].step for key in chosen):
        here = [key for key in chosen if runs[key].step == step]
        todo = [costs[key] for key in here if key in costs]
        lines.append(f"  {step:16}{len(here):>6}{len(here) - len(todo):>6}{len(todo):>8}{_time(todo):>11}")
    if len(waiting) < len(chosen):
        lines.append(f"  to run: {and_more(waiting)}")
    seconds = {key: cost.seconds or 0.0 for key, cost in costs.items()}
    known = "" if all(cost.seconds is not None for cost in costs.values()) else " for the runs with a known time"
    wall_s = wall_seconds(seconds, runs, n_parallel)
    expected = list(costs.values())
    in_turn = f"one after the other: {_time(expected)}"
    lines += [
        f"  expected: about {duration(wall_s)}{known}, {n_parallel} at a time ({in_turn}), {_space(expected)}",
        f"  based on: {'; '.join(dict.fromkeys(cost.source for cost in expected))}",
    ]
    if not profiles.is_demo(profile) and any(runs[key].step == "ingest" for key in waiting):
        lines.append("  datasets that are not ingested yet count with their published number of images")
    if len(chosen) == len(runs):
        lines += _other_part(profile, wall_s, done, with_gpu=with_gpu, n_parallel=n_parallel)
    return "\n".join(lines)


def _other_part(profile: str, wall_s: float, done: list[str], *, with_gpu: bool, n_parallel: int) -> list[str]:
    """Return a line about the whole grid if the profile is a part of it; if the whole takes long, about a balanced part."""
    loaded = profiles.load(profile)
    share, what = 1.0, "the whole grid, without fraction"
    if loaded.transfer.fraction == 1:
        least = fraction.least(loaded.pretrain.sources, loaded.transfer.targets)
        share = max(math.floor(20 * LONG_S / max(wall_s, 1)), math.ceil(20 * least)) / 20
        what = f"a balanced part of the pairs, --fraction {share:g}"
        if wall_s <= LONG_S or share >= 1:
            return []
    transfer = loaded.transfer.model_copy(update={"fraction": share})
    runs = expand.runs(loaded.model_copy(update={"transfer": transfer}), profile, profiles.where(profile))
    costs = costs_of(profile, runs, [key for key in runs if key not in set(done)], with_gpu=with_gpu)
    seconds = wall_seconds({key: cost.seconds or 0.0 for key, cost in costs.items()}, runs, n_parallel)
    return [f"  {what}: {len(runs):,} runs, about {duration(seconds)}, {_space(list(costs.values()))}"]


def _time(costs: list[Cost]) -> str:
    """Return the sum of the known times; with + if some are unknown, ? if all are."""
    known = [cost.seconds for cost in costs if cost.seconds is not None]
    if not known:
        return "?" if costs else "-"
    return duration(sum(known)) + "+" * (len(known) < len(costs))


def duration(seconds: float) -> str:
    """Return a rounded duration.

    >>> duration(40), duration(290), duration(9000)
    ('40 s', '5 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def wall_seconds(seconds: dict[str, float], runs: dict[str, PlannedRun], n_parallel: int) -> float:
    """Return how long runs (in the grid's order) take, `n_parallel` at a time: at least the longest chain of needs."""
    ends: dict[str, float] = {}
    for key, own in seconds.items():
        ends[key] = own + max((ends.get(need, 0.0) for need in runs[key].needs), default=0.0)
    return max(sum(seconds.values()) / n_parallel, *ends.values(), 0.0)


def _space(costs: list[Cost]) -> str:
    n_bytes = sum(cost.n_bytes for cost in costs)
    return f"{n_bytes / 1e9:,.1f} GB on disk" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB on disk"


def costs_of(profile: str, runs: dict[str, PlannedRun], keys: list[str], *, with_gpu: bool) -> dict[str, Cost]:
    """Return the expected costs of runs by their keys; `with_gpu` as in `text`."""
    loaded, found = _counted(profile), {}
    steps = dict.fromkeys(runs[key].step for key in keys)
    on_gpu = {step: with_gpu and profiles.resources(profile, step).gpus > 0 for step in steps}
    finished = {step: _finished(profile, step, loaded) for step in steps}
    for run in (runs[key] for key in keys):
        seconds, source = _seconds(run, finished[run.step], loaded, on_gpu[run.step])
        found[run.key] = Cost(seconds, _bytes(run, loaded), source)
    return found


def _counted(profile: str) -> Profile:
    """Return the profile with the numbers of images that ingest found; published ones where it has not run."""
    loaded = profiles.load(profile)
    rows = dict(loaded.datasets)
    for name in rows.keys() & set(results.finished(profile, "ingest")):
        if n := results.record(profile, f"ingest/{name}").get("n_images"):
            rows[name] = rows[name].model_copy(update={"n_images": n})
    return loaded.model_copy(update={"datasets": rows})


def passes(step: str, values: dict[str, Any], profile: Profile) -> float:
    """Return the number of images that a run trains on, times epochs; a prediction counts as a fifth of a training pass."""
    if not STEPS[step].trains or values.get("weights"):
        return 0.0
    kept = (1 - values["validation_share"]) * (1 + len(values["other_learning_rates"]))
    if step == "pretrain":
        return n_stored(profile, values["source"]) * values["epochs"] * kept
    n, k = n_images(profile, values["target"]), 1 if profile.folds.split == "published" else profile.folds.n_folds
    epochs = {"fine_tune": values["epochs"], "fine_tune_long": values["long_epochs"] or 0, "linear_probe": 0}
    per_seed = sum(max(1, k - 1) * n * epochs[mode] * kept + n * FORWARD for mode in values["modes"])
    return per_seed * len(values["seeds"])


def _finished(profile: str, step: str, loaded: Profile) -> tuple[float, float, int]:
    """Return seconds, image passes and number of a step's finished runs whose datasets are still in the grid."""
    known, roles = {*loaded.datasets, None, "none"}, ("dataset", "source", "target")
    records = [results.record(profile, f"{step}/{name}") for name in results.finished(profile, step)]
    kept = [one for one in records if {one["parameters"].get(role) for role in roles} <= known]
    n_passes = sum(passes(step, one["parameters"], loaded) for one in kept)
    return sum(one["seconds"] for one in kept), n_passes, len(kept)


def _seconds(
    run: PlannedRun, finished: tuple[float, float, int], loaded: Profile, on_gpu: bool
) -> tuple[float | None, str]:
    seconds, n_passes, n_runs = finished
    step, here = STEPS[run.step], passes(run.step, run.parameters, loaded)
    if n_runs and (not here or n_passes):
        return (seconds * here / n_passes if here else seconds / n_runs), "finished runs of this profile"
    if not here:
        return step.seconds, "start-up times" if step.trains else "runs of the demo"
    rate = (GPU_RATES if on_gpu else CPU_RATES).get(run.parameters["backbone"])
    if rate is None:
        return None, f"nothing for {run.parameters['backbone']}, which was not measured"
    per_s, size_px, where = rate
    return step.seconds + here * (run.parameters["size_px"] / size_px) ** 2 / per_s, where


def _bytes(run: PlannedRun, loaded: Profile) -> float:
    values, n_bytes = run.parameters, 5e5  # the notebook with its figures and tables, predictions included
    if run.step == "ingest":
        n_bytes += n_stored(loaded, values["dataset"]) * values["size_px"] ** 2 * 3
    model_mb, n_features = SIZES.get(values.get("backbone"), SIZES["resnet50"])
    n_networks = 1 if values.get("weights") else WITH_OPTIMISER if STEPS[run.step].trains else 0
    if run.step == "transfer":
        is_base = not (values["variant"] or run.settings.takes_fewer)
        n_networks = WITH_OPTIMISER if is_base and "fine_tune" in values["modes"] else 0
        if values["keep_networks"] and "fine_tune" in values["modes"]:
            n_networks += len(values["seeds"]) * (1 if loaded.folds.split == "published" else loaded.folds.n_folds)
        if "linear_probe" in values["modes"] and not run.settings.takes_fewer:  # cached once for all sizes
            n_bytes += 4 * n_images(loaded, values["target"]) * n_features
    return n_bytes + 1e6 * model_mb * n_networks
