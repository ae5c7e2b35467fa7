"""A Sacred record of each run: configuration, metrics, output, files, code, versions, machine, and how it ended."""

import json
import logging
import os
import resource
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from catscans_lib import paths, results
from catscans_lib.errors import InputError
from catscans_lib.runs import recipe
from catscans_lib.runs.records import energy, masking, observers
from catscans_lib.training import learning_curves

RUN_RECORD = "catscans_run.json"  # Sacred has a run.json of its own; after an artifact of that name the observer drops all others
NOT_INFO = ("parameters", "versions", "step", "name", "status", "recipe", "code")  # kept elsewhere, or nothing new


def recorded(profile: str, key: str, config: dict[str, Any], folder: Path, fill: Callable[[], None]) -> None:
    """Have `fill` fill a run's folder, and record that with Sacred's file observer and those the profile names.

    What is printed meanwhile goes into the record, not to the terminal. Secrets of the environment are not there while `fill`
    works, and are taken out of all that it leaves. Metrics are those of the folder's `history.csv`: the curves of the learning
    rates that were chosen.

    Raises
    ------
    Exception
        That of `fill`, without secrets; the run is recorded as FAILED.
    InputError
        If an observer the profile names cannot be made or reached, before anything is run.
    """
    mask = masking.Mask.of_environment()
    experiment, options = _experiment(profile, key, mask)
    experiment.add_config(mask.plain({name: value for name, value in config.items() if name != "seed"}))
    # Sacred would draw a seed where there is none, and records would differ in what nothing has used.
    seed = config.get("seed", *(config.get("seeds") or [0])[:1])

    begun = []

    @experiment.main
    def main(_run):  # noqa: ANN001, ANN202 - Sacred passes its own run object
        commit = recipe.commit()
        code = {"commit": commit.removesuffix(recipe.CHANGES), "dirty": commit.endswith(recipe.CHANGES)}
        _run.info |= {"run": key, "code": code}
        begun.append(_run)
        meter = energy.Meter()
        try:
            with meter, masking.hidden():
                fill()
        except Exception as error:
            mask.error(error)
            raise
        finally:
            mask.folder(folder)
            _log(_run, folder, {"record": str(_run._id), "machine": machine(_run.host_info), **energy.facts(meter)})

    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            experiment.run(config_updates={"seed": seed}, options=options)
    except Exception as error:
        if begun or (isinstance(error, OSError) and error.errno):  # of the disk, not of a database
            raise
        said = mask(f"{type(error).__name__}: {error}")
        raise InputError(f"{key} was not begun: an observer of profile {profile} cannot record it. {said}") from None
    finally:
        if begun:
            observers.after(profile, str(begun[0]._id))


def machine(host: dict[str, Any]) -> dict[str, Any]:
    """Return what Sacred found out about the machine, without names and numbers that only this moment has."""
    gpus = [gpu["model"] for gpu in host.get("gpus", {}).get("gpus", [])]
    found = {key: host.get(key) for key in ("cpu", "cores", "memory_gb", "python_version")}
    return found | {"os": host["os"][1]} | ({"gpus": gpus} if gpus else {})


def _experiment(profile: str, key: str, mask: masking.Mask) -> tuple[Any, dict[str, Any]]:
    # Sacred imports the deprecated pkg_resources; the pin on setuptools keeps it.
    with warnings.catch_warnings(), _not_found("pandas"):
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")
        from sacred import SETTINGS, Experiment

    # Of code and packages Sacred would see only what this process has imported; the run is another process.
    SETTINGS.CAPTURE_MODE, SETTINGS.DISCOVER_SOURCES, SETTINGS.DISCOVER_DEPENDENCIES = "sys", "none", "none"
    experiment = Experiment(
        key.replace("/", "-"), base_dir=str(paths.root()), save_git_info=False, additional_host_info=_host()
    )
    experiment.logger = logging.getLogger("catscans.sacred")
    experiment.logger.setLevel(logging.CRITICAL)
    experiment.captured_out_filter = mask
    for path in recipe.sources(key.split("/")[0]):
        experiment.add_source_file(str(path))
    for name, version in recipe.versions().items():
        experiment.add_package_dependency(name, version)
    experiment.observers, options = observers.of(profile)
    return experiment, options


@contextmanager
def _not_found(package: str) -> Iterator[None]:
    """Have an optional package not found, unless it is loaded: Sacred would load pandas for frames that no record holds."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None
    try:
        yield
    finally:
        del sys.modules[package]


def _host() -> list[Any]:
    import psutil
    from sacred.host_info import HostInfoGetter

    own = {
        "pid": os.getpid,  # tells whether a run that has not ended is still there
        "cores": psutil.cpu_count,
        "memory_gb": lambda: round(psutil.virtual_memory().total / 2**30, 1),
    }
    return [HostInfoGetter(getter, name) for name, getter in own.items()]


def _log(sacred_run: Any, folder: Path, facts: dict[str, Any]) -> None:
    """Record what a run has left in its folder, and note the record and the machine in its `run.json`."""
    path = folder / results.RECORD
    if not path.is_file():  # it failed; its notebook shows where
        sacred_run.info |= facts | {"peak_memory_mb": _peak_memory_of_kernel_mb()}
        for notebook in folder.glob("*.ipynb"):
            sacred_run.add_artifact(str(notebook))
        return
    record = json.loads(path.read_text()) | facts
    path.write_text(json.dumps(record, indent=2))
    sacred_run.info["code"] |= {"fingerprint": record.get("code", {}).get("fingerprint", "")}
    sacred_run.info |= {name: value for name, value in record.items() if name not in NOT_INFO}
    for table in sorted(folder.glob("*.csv")):
        sacred_run.add_artifact(str(table))
    sacred_run.add_artifact(str(path), name=RUN_RECORD)
    _log_metrics(sacred_run, folder)


def _log_metrics(sacred_run: Any, folder: Path) -> None:
    if not (folder / "history.csv").is_file():
        return
    history = results.read_table(folder / "history.csv")
    if (folder / "learning_rates.csv").is_file():
        history = learning_curves.chosen_curves(history, results.read_table(folder / "learning_rates.csv"))
    for row in history.itertuples():
        sacred_run.log_scalar(
            f"{row.mode}.fold{row.fold}.seed{row.seed}.{row.split}.{row.metric}", row.value, row.epoch
        )


def _peak_memory_of_kernel_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes on Linux
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**20, 1)
