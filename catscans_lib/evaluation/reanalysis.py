"""What `notebooks/reanalysis.ipynb` shows for each choice of its widgets, from the tidy tables of a profile."""

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display

from catscans_lib import datasets, figures, results
from catscans_lib.figures.style import ordered
from catscans_lib.transferability import similarity_tables


class Reanalysis:
    """The tables of a profile, and what to show of them for each choice.

    Attributes
    ----------
    tables : dict of pandas.DataFrame
        As `results.load` returns them.
    menus : dict of dict of str
        Title to name of every target, source, mode and measure that the tables hold.
    """

    def __init__(self, profile: str) -> None:
        self.profile, self.tables = profile, results.load(profile)
        self.menus = choices(self.tables)

    def show_target(self, target: str, mode: str) -> None:
        """Draw the AUC of every source on a target, with its interval."""
        figures.auc_bars(
            self.tables["aucs"], target, mode, titles=datasets.titles(), intervals=self.tables["auc_intervals"]
        )
        plt.show()

    def show_measure(self, measure: str, mode: str) -> None:
        """Draw the AUC of every source against what a measure said of it, and print how well it predicted."""
        aucs = self.tables["aucs"]
        between = similarity_tables.between_datasets(self.tables["similarity"])
        figures.measure_against_auc(
            aucs[aucs["mode"] == mode], between, measure, titles=similarity_tables.titles() | datasets.titles(),
            sources=datasets.titles(),
        )  # fmt: skip
        plt.show()
        if "associations" in self.tables:
            found = self.tables["associations"]
            here = found[(found["measure"] == measure) & (found["mode"] == mode)]
            display(here[["target", "statistic", "value", "low", "high", "n", "p_max"]].round(3))

    def show_pair(self, target: str, mode: str, one: str, other: str) -> None:
        """Print AUC by fold and seed of two sources on a target, their difference, and what the tests say of it."""
        aucs = self.tables["aucs"]
        here = aucs[(aucs["target"] == target) & (aucs["mode"] == mode) & aucs["source"].isin([one, other])]
        wide = here.pivot_table(index=["fold", "seed"], columns="source", values="auc")
        if one == other or {one, other} - set(wide.columns):
            print("Choose two different sources that both ran on this target.")
            return
        display(wide.assign(difference=wide[one] - wide[other])[[one, other, "difference"]].round(4))
        tests = self.tables["comparisons"]
        pair = tests["source_a"].isin([one, other]) & tests["source_b"].isin([one, other])
        display(tests[pair & (tests["target"] == target) & (tests["mode"] == mode)].round(4))

    def command(self, source: str, target: str, seed: int) -> str:
        """Return the command that runs one transfer again by hand with another seed, beside the sweep's results."""
        given = f"-p profile {self.profile} -p source {source} -p target {target}"
        return f'.venv/bin/papermill notebooks/transfer.ipynb out.ipynb {given} -y "seeds: [{seed}]"'


def choices(tables: dict[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    """Return title to name of every target, source, mode and measure that the tables hold, for menus."""
    aucs, names = tables["aucs"], datasets.titles()
    modes = [mode for mode in aucs["mode"].unique() if mode != "fine_tune_long"]
    found = {
        "target": {names[target]: target for target in ordered(aucs["target"])},
        "source": {names[source]: source for source in ordered(aucs["source"])},
        "mode": {mode.replace("_", " "): mode for mode in modes},
    }
    if "similarity" in tables:
        titles = similarity_tables.titles()
        found["measure"] = {titles.get(name, name): name for name in tables["similarity"]["measure"].unique()}
    return found
