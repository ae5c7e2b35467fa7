"""Every figure of the book in one style. Functions take tidy tables and return axes; none of them trains or saves.

Colours are those of Okabe and Ito (2008), told apart also by readers who are colour-blind; cividis shows AUCs, a map
centred on 0 shows scores.
"""

from catscans_lib.figures.associations import advice_bars, association_forest, measure_against_auc, noise_floor
from catscans_lib.figures.aucs import auc_bars, auc_panels, calibration_curves, critical_difference, roc_curves
from catscans_lib.figures.curves import curve_grid, learning_curves, rate_curves, stability_points
from catscans_lib.figures.heatmaps import auc_heatmap, factors_heatmap, rank_map, score_heatmap
from catscans_lib.figures.images import before_after_grid, feature_map_grid, filter_grid, grad_cam_grid, image_grid
from catscans_lib.figures.layers import change_heatmap, cka_matrices, kept_heatmap
from catscans_lib.figures.style import COLOURS, DEMO_STAMP, ordered, save, set_style, stamp

__all__ = [
    "COLOURS",
    "DEMO_STAMP",
    "advice_bars",
    "association_forest",
    "auc_bars",
    "auc_heatmap",
    "auc_panels",
    "before_after_grid",
    "calibration_curves",
    "change_heatmap",
    "cka_matrices",
    "critical_difference",
    "curve_grid",
    "factors_heatmap",
    "feature_map_grid",
    "filter_grid",
    "grad_cam_grid",
    "image_grid",
    "kept_heatmap",
    "learning_curves",
    "measure_against_auc",
    "noise_floor",
    "ordered",
    "rank_map",
    "rate_curves",
    "roc_curves",
    "save",
    "score_heatmap",
    "set_style",
    "stability_points",
    "stamp",
]
