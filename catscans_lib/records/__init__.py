"""A Sacred record of each run: configuration, metrics, printed output, files, and how it ended."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catscans_lib import histories, paths, provenance, results


def recorded(profile: str, name: str, config: dict[str, Any], work: Callable[[], Path]) -> Path:
    """Do `work`, which returns the folder it filled, and record it with Sacred's file observer; return the folder.

    An error in `work` is recorded as FAILED and raised again. Metrics are those of the folder's `history.csv`: the curves of the
    learning rates that were chosen.
    """
    with warnings.catch_warnings():  # Sacred imports the deprecated pkg_resources; the pin on setuptools keeps it
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")
        from sacred import SETTINGS, Experiment
        from sacred.observers import FileStorageObserver

    SETTINGS.CAPTURE_MODE = "sys"
    experiment = Experiment(name.replace("/", "-"), base_dir=str(paths.root()), save_git_info=False)
    experiment.logger = logging.getLogger("catscans.sacred")
    experiment.logger.setLevel(logging.CRITICAL)
    experiment.observers.append(FileStorageObserver(paths.records_dir(profile)))
    experiment.add_config({key: value for key, value in config.items() if key != "seed"})
    filled: list[Path] = []

    # Sacred sees neither git nor versions from here, so they are written down by hand.
    @experiment.main
    def main(_run):  # noqa: ANN001, ANN202 - Sacred passes its own run object
        _run.info |= {"commit": provenance.commit(), "versions": provenance.versions()}
        filled.append(work())
        _log(_run, filled[0])

    seed = {"seed": config["seed"]} if "seed" in config else {}
    experiment.run(config_updates=seed)
    return filled[0]


def _log(sacred_run: Any, folder: Path) -> None:
    for path in sorted(folder.glob("*.csv")):
        sacred_run.add_artifact(str(path))
    # Sacred has a run.json of its own; after an artifact of that name the observer would drop all that follows.
    sacred_run.add_artifact(str(folder / "run.json"), name="catscans_run.json")
    if (folder / "history.csv").is_file():
        history = results.read_table(folder / "history.csv")
        if (folder / "learning_rates.csv").is_file():
            history = histories.chosen_curves(history, results.read_table(folder / "learning_rates.csv"))
        for row in history.itertuples():
            sacred_run.log_scalar(
                f"{row.mode}.fold{row.fold}.seed{row.seed}.{row.split}.{row.metric}", row.value, row.epoch
            )
