"""All figures of the book in one style.

In: tidy tables, arrays and titles. Out: matplotlib axes or figures; `save` writes a figure and its table.
Nothing here trains. Colours are those of Okabe and Ito (2008), distinct also for colour-blind readers.
"""

from catscans_lib.figures.associations import advice_bars, association_forest, measure_against_auc, rank_map
from catscans_lib.figures.aucs import auc_panels, difference_panels, slopes
from catscans_lib.figures.curves import learning_curves
from catscans_lib.figures.evidence import size_panels, source_forest, study_means
from catscans_lib.figures.grid_axes import backbone_lines, component_panels, size_curves
from catscans_lib.figures.inspection import cka_matrix, feature_map_grid, grad_cam_grid, image_grid
from catscans_lib.figures.style import COLOURS, DEMO_STAMP, ordered, save, set_style
