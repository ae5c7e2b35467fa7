"""Sacred records: how every run was executed, on what, from what, and how it ended.

In: a run's folder and the function that fills it. Out: `results/<profile>/records/<number>/`, one folder per execution.
`reading` loads them, `tables` lists and compares them.
"""

import json
import logging
import os
import resource
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import psutil

from catscans_lib import paths, results
from catscans_lib.runs import recipe
from catscans_lib.runs.records import masking

RUN_RECORD = "catscans_run.json"  # copy of the run's run.json in its record, where Sacred has a run.json of its own
NOT_INFO = ("parameters", "versions", "step", "name", "status", "recipe", "code")  # Sacred records these elsewhere


def recorded(profile: str, key: str, config: dict[str, Any], folder: Path, fill: Callable[[], None]) -> None:
    """Call `fill`, which fills the folder of run `key`, and record the execution with Sacred's file observer.

    Printed output goes into the record, not to the terminal. The environment has no secrets while `fill` runs, and secrets
    are masked in every file that it leaves. Metrics are the rows of `history.csv` at the selected learning rates.
    Raises what `fill` raises, with secrets masked; the record then says FAILED.
    """
    mask = masking.Mask.of_environment()
    experiment = _experiment(profile, key, config, mask)
    experiment.add_config(mask.plain({name: value for name, value in config.items() if name != "seed"}))
    # Without a seed Sacred would draw one that nothing uses, and records of equal runs would differ.
    seed = config.get("seed", *(config.get("seeds") or [0])[:1])

    @experiment.main
    def main(_run):  # noqa: ANN001, ANN202 - Sacred passes its own run object
        commit = recipe.commit()
        code = {"commit": commit.removesuffix(recipe.CHANGES), "dirty": commit.endswith(recipe.CHANGES)}
        _run.info |= {"run": key, "code": code}
        try:
            with masking.hidden():
                fill()
        except Exception as error:
            mask.error(error)
            raise
        finally:
            mask.folder(folder)
            _log(_run, folder)

    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        experiment.run(config_updates={"seed": seed})


def peak_memory_mb(of: int = resource.RUSAGE_SELF) -> float:
    """Return the largest resident memory of this process (or of its children) so far (MB)."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes on Linux
    return round(resource.getrusage(of).ru_maxrss * unit / 2**20, 1)


def _experiment(profile: str, key: str, config: dict[str, Any], mask: masking.Mask) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")  # our pin on setuptools keeps it available
        from sacred import SETTINGS, Experiment
        from sacred.host_info import HostInfoGetter
        from sacred.observers import FileStorageObserver
    # Sacred would discover only the code and packages of this process, but the notebook runs in another one.
    SETTINGS.CAPTURE_MODE, SETTINGS.DISCOVER_SOURCES, SETTINGS.DISCOVER_DEPENDENCIES = "sys", "none", "none"
    host = {"cores": psutil.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30, 1)}
    getters = [HostInfoGetter(lambda fact=fact: fact, name) for name, fact in host.items()]
    settings = {"base_dir": str(paths.root()), "save_git_info": False, "additional_host_info": getters}
    experiment = Experiment(key.replace("/", "-"), **settings)
    experiment.logger = logging.getLogger("catscans.sacred")
    experiment.logger.setLevel(logging.CRITICAL)
    experiment.captured_out_filter = mask
    for path in recipe.sources(key.split("/")[0], config):
        experiment.add_source_file(str(path))
    for name, version in recipe.versions().items():
        experiment.add_package_dependency(name, version)
    folder = paths.records_dir(profile)
    folder.mkdir(parents=True, exist_ok=True)
    experiment.observers = [FileStorageObserver(folder)]
    return experiment


def _log(sacred_run: Any, folder: Path) -> None:
    """Record the files, facts and metrics of a run's folder; add the record's number and the machine to its `run.json`."""
    host, path = sacred_run.host_info, folder / results.RECORD
    machine = {key: host.get(key) for key in ("cpu", "cores", "memory_gb", "python_version")} | {"os": host["os"][1]}
    if gpus := [gpu["model"] for gpu in host.get("gpus", {}).get("gpus", [])]:
        machine["gpus"] = gpus
    facts = {"record": str(sacred_run._id), "machine": machine}
    if not path.is_file():  # the run failed; its executed notebook shows where
        sacred_run.info |= facts | {"peak_memory_mb": peak_memory_mb(resource.RUSAGE_CHILDREN)}  # of the kernel
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
    if not (folder / "history.csv").is_file():
        return
    history = results.read_table(folder / "history.csv")
    if (folder / "learning_rates.csv").is_file():
        history = results.chosen_curves(history, results.read_table(folder / "learning_rates.csv"))
    for row in history.itertuples():
        name = f"{row.mode}.fold{row.fold}.seed{row.seed}.{row.split}.{row.metric}"
        sacred_run.log_scalar(name, row.value, row.epoch)
