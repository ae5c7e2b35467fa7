"""The plots and tables that `notebooks/reanalysis.ipynb` shows for each choice in its menus."""

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display

from catscans_lib import figures, results
from catscans_lib.evaluation.tables import shared_modes


class Reanalysis:
    """The tables of a finished profile, and one method per menu of the notebook.

    `tables` is what `results.load` returns; `menus` maps printed titles to names of targets, sources, modes and measures.
    """

    def __init__(self, profile: str, titles: dict[str, str], measure_titles: dict[str, str]) -> None:
        """Load the tables; `titles` names the datasets, `measure_titles` the measures."""
        self.profile, self.titles, self.measure_titles = profile, titles, measure_titles
        self.tables = results.load(profile)
        aucs = self.tables["aucs"]
        self.menus = {
            "target": {titles[target]: target for target in figures.ordered(aucs["target"])},
            "source": {titles[source]: source for source in figures.ordered(aucs["source"])},
            "mode": {mode.replace("_", " "): mode for mode in shared_modes(aucs)},
        }
        if "similarity" in self.tables:
            measures = self.tables["similarity"]["measure"].unique()
            self.menus["measure"] = {measure_titles.get(name, name): name for name in measures}

    def show_target(self, target: str, mode: str) -> None:
        """Plot the AUC of every source on a target, with its interval."""
        aucs = self.tables["aucs"]
        here = aucs[aucs["target"] == target]
        figures.auc_panels(here, self.tables["auc_intervals"], mode, titles=self.titles)
        plt.show()

    def show_measure(self, measure: str, mode: str) -> None:
        """Plot the AUC of every source against a measure, and print the measure's associations with the AUC."""
        similarity = self.tables["similarity"]
        pairs = similarity[similarity["source"] != similarity["target"]]
        figures.measure_against_auc(
            self._of(mode), pairs, measure, titles=self.measure_titles | self.titles, sources=self.titles
        )
        plt.show()
        if "associations" in self.tables:
            found = self._of(mode, "associations")
            columns = ["target", "statistic", "value", "low", "high", "n", "p_max"]
            display(found.loc[found["measure"] == measure, columns].round(3))

    def show_pair(self, target: str, mode: str, one: str, other: str) -> None:
        """Print the AUCs of two sources by fold and seed, their differences, and all tests of this pair."""
        aucs = self._of(mode)
        wide = aucs[aucs["target"] == target].pivot_table(index=["fold", "seed"], columns="source", values="auc")
        if one == other or {one, other} - set(wide.columns):
            print("Choose two different sources that both ran on this target.")
            return
        display(wide[[one, other]].assign(difference=wide[one] - wide[other]).round(4))
        tests = self._of(mode, "comparisons")
        is_pair = tests["source_a"].isin([one, other]) & tests["source_b"].isin([one, other])
        display(tests[is_pair & (tests["target"] == target)].round(4))

    def command(self, source: str, target: str, seed: int) -> str:
        """Return the shell command that repeats one transfer run with another seed, outside the sweep's results."""
        given = f"-p profile {self.profile} -p source {source} -p target {target}"
        return f'.venv/bin/papermill notebooks/transfer.ipynb out.ipynb {given} -y "seeds: [{seed}]"'

    def _of(self, mode: str, table: str = "aucs") -> pd.DataFrame:
        return self.tables[table][self.tables[table]["mode"] == mode]
