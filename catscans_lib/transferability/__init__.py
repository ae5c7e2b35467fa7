"""Do similarity measures predict transfer? Associations with their uncertainty, and rules that any measure has to beat."""

from catscans_lib.statistics.ranks import STATISTICS
from catscans_lib.transferability.associations import ALL, associations, best_measure, left_out
from catscans_lib.transferability.panel import BASELINES, Panel, baselines, panel

__all__ = ["ALL", "BASELINES", "STATISTICS", "Panel", "associations", "baselines", "best_measure", "left_out", "panel"]
