"""What a run is expected to cost: seconds and bytes, from runs that were finished, else from measured rates.

A training is counted in images passed through the network: images times epochs, for every fold, seed and learning rate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catscans_lib import datasets, results
from catscans_lib.grid import expand, profiles
from catscans_lib.grid.schema import Profile
from catscans_lib.grid.steps import STEPS

FORWARD = 0.2  # of a training pass: 121 against 537 images/s, ResNet50 (benchmarks/RESULTS.md)


@dataclass(frozen=True)
class Rate:
    """Images a second in training at one side (pixels), and where that was measured."""

    per_s: float
    size_px: int
    where: str


CPU_RATES = {  # benchmarks/RESULTS.md: 2 cores
    "resnet50": Rate(96.0, 96, "benchmarks/RESULTS.md, 2 cores of an Intel Xeon with AMX"),
    "small_resnet": Rate(2400.0, 32, "benchmarks/RESULTS.md, 2 cores"),
}
GPU_RATES = {  # images from the store, augmented; the same bits every time
    "resnet50": Rate(2250.0, 112, "benchmarks/RESULTS.md, one H100 with Keras on JAX, before batches were read ahead"),
}
MODEL_MB = {"resnet50": 95.0, "small_resnet": 1.2, "squeezenet": 3.0}  # of a saved network
N_FEATURES = {"resnet50": 2048, "small_resnet": 128, "squeezenet": 512}  # of an image, 4 bytes each
ROW_BYTES, SCORE_BYTES = 60, 16  # of a prediction as CSV: 92 bytes with two classes in the demo


@dataclass(frozen=True)
class Cost:
    """Expected seconds (None: not known), on a GPU or not, bytes left on disk, and what the seconds rest on."""

    seconds: float | None
    on_gpu: bool
    n_bytes: float
    rests_on: str


def estimator(profile: str, *, with_gpu: bool) -> Callable[[expand.PlannedRun], Cost]:
    """Return what tells the cost of any run of a profile; `with_gpu` says whether runs that ask for a GPU get one."""
    loaded, runs = profiles.load(profile), expand.grid(profile)
    steps = dict.fromkeys(run.step for run in runs.values())
    on_gpu = {step: with_gpu and profiles.resources(profile, step).gpus > 0 for step in steps}
    seen = {step: _seen(profile, step, loaded) for step in steps}

    def cost(run: expand.PlannedRun) -> Cost:
        seconds, rests_on = _seconds(run, seen[run.step], loaded, on_gpu[run.step])
        return Cost(seconds, on_gpu[run.step], _bytes(run, loaded), rests_on)

    return cost


def passes(step: str, values: dict[str, Any], profile: Profile) -> float:
    """Return how many images a run passes through its network, a prediction counted as a fifth of a training pass."""
    if not STEPS[step].trains or values.get("weights"):
        return 0.0
    kept = (1 - values["validation_share"]) * (1 + len(values["other_learning_rates"]))
    if step == "pretrain":
        return n_images(profile, values["source"]) * values["epochs"] * kept
    n, k = n_images(profile, values["target"]), profile.folds.n_folds
    epochs = {"fine_tune": values["epochs"], "fine_tune_long": values["long_epochs"] or 0, "linear_probe": 0}
    per_seed = sum((k - 1) * n * epochs[mode] * kept + n * FORWARD for mode in values["modes"])
    return per_seed * len(values["seeds"])


def n_images(profile: Profile, dataset: str) -> int:
    """Return how many images of a dataset are used, as far as one knows before reading them."""
    row = profile.transfer.targets.get(dataset) or {}
    n = profile.datasets[dataset].n_images or datasets.get(dataset).n_images or 0
    return min(n, row.get("max_images") or n)


def _seen(profile: str, step: str, loaded: Profile) -> tuple[float, float, int]:
    """Seconds and image passes of a step's finished runs, with the settings they had, and how many there are."""
    records = [results.record(profile, f"{step}/{name}") for name in results.finished(profile, step)]
    known = [record for record in records if _is_of(loaded, record["parameters"])]
    return (
        sum(map(seconds_of, known)),
        sum(passes(step, record["parameters"], loaded) for record in known),
        len(known),
    )


def _is_of(loaded: Profile, parameters: dict[str, Any]) -> bool:
    """Whether a finished run's datasets are still in the grid."""
    named = [parameters[name] for name in ("dataset", "source", "target") if parameters.get(name) not in (None, "none")]
    return set(named) <= set(loaded.datasets)


def seconds_of(record: dict[str, Any]) -> float:
    """Return how long a run took, from its `run.json`, with the jobs that trained its folds ahead."""
    return record["seconds"] + sum(job["seconds"] for job in record.get("fold_jobs", []))


def _seconds(
    run: expand.PlannedRun, seen: tuple[float, float, int], loaded: Profile, on_gpu: bool
) -> tuple[float | None, str]:
    seconds, work, n = seen
    here = passes(run.step, run.parameters, loaded)
    if n and (not here or work):
        return (seconds * here / work if here else seconds / n), "finished runs of this profile"
    flat = STEPS[run.step].seconds
    if not here:
        return flat, "the demo's runs" if not STEPS[run.step].trains else "time to start"
    rate = (GPU_RATES if on_gpu else CPU_RATES).get(run.parameters["backbone"])
    if rate is None:
        return None, f"nothing: {run.parameters['backbone']} was not measured"
    scale = (run.parameters["size_px"] / rate.size_px) ** 2
    return flat + here * scale / rate.per_s, rate.where


def _bytes(run: expand.PlannedRun, loaded: Profile) -> float:
    """Stored images (3 bytes a pixel) of an ingest; a saved network; of a transfer its predictions, which the record keeps too,
    and the features behind its linear probe; a notebook with its figures and tables, about 0.5 MB."""
    values, n_bytes = run.parameters, 5e5
    if run.step == "ingest":
        n_bytes += n_images(loaded, values["dataset"]) * values["size_px"] ** 2 * 3
    if STEPS[run.step].trains:
        n_bytes += 1e6 * MODEL_MB.get(values["backbone"], 100.0)
    if run.step == "transfer":
        n, card = n_images(loaded, values["target"]), datasets.get(values["target"])
        n_classes = len(card.classes or card.n_per_class)
        n_bytes += 2 * n * len(values["modes"]) * len(values["seeds"]) * (ROW_BYTES + SCORE_BYTES * n_classes)
        if "linear_probe" in values["modes"]:
            n_bytes += 4 * n * N_FEATURES.get(values["backbone"], 2048)
    return n_bytes
