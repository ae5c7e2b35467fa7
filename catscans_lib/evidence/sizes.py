"""How much seeds move the outcome at each number of training images, and from which number on the order of sources holds."""

import numpy as np
import pandas as pd
from scipy import stats

SIZE = "n_per_class"
ALL_IMAGES = "all"
SIZES = "xray_scale"  # the study that varies the number of training images


def by_size(table: pd.DataFrame) -> pd.DataFrame:
    """Return target, n_per_class, n_sources, n_seeds, sd (median over sources of the standard deviation over seeds) and tau.

    tau is Kendall's between the order of the sources at this size and with all images; NaN for all images. Takes the table of
    the study that varies sizes. A source is a source and a backbone. Sizes ascend, all images come last.
    """
    rows = []
    for target, here in table.groupby("target", sort=False):
        cells = here.groupby([SIZE, "source", "backbone"])["value"]
        means, sds = cells.mean().unstack(SIZE), cells.std().unstack(SIZE)
        for size in sorted(means, key=lambda size: np.inf if size == ALL_IMAGES else float(size)):
            pairs = means[[size, ALL_IMAGES]].dropna() if size != ALL_IMAGES else means[[]]
            tau = stats.kendalltau(pairs[size], pairs[ALL_IMAGES]).statistic if size != ALL_IMAGES else np.nan
            n_seeds = int(cells.size().unstack(SIZE)[size].max())
            rows.append((target, size, int(means[size].notna().sum()), n_seeds, sds[size].median(), tau))
    return pd.DataFrame(rows, columns=["target", SIZE, "n_sources", "n_seeds", "sd", "tau"])
