"""Every figure of the book in one style. Functions take tidy tables and return axes; none of them trains or saves.

Colours are those of Okabe and Ito (2008), told apart also by readers who are colour-blind; cividis shows AUCs, a map
centred on 0 shows scores.
"""

from catscans_lib.figures.aucs import auc_bars
from catscans_lib.figures.curves import learning_curves, stability_points
from catscans_lib.figures.heatmaps import auc_heatmap, factors_heatmap, score_heatmap
from catscans_lib.figures.images import feature_map_grid, image_grid
from catscans_lib.figures.style import COLOURS, DEMO_STAMP, save, set_style, stamp

__all__ = [
    "COLOURS",
    "DEMO_STAMP",
    "auc_bars",
    "auc_heatmap",
    "factors_heatmap",
    "feature_map_grid",
    "image_grid",
    "learning_curves",
    "save",
    "score_heatmap",
    "set_style",
    "stability_points",
    "stamp",
]
