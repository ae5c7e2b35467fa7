"""Published results, re-examined: the original study's AUCs and distances, and the scores of a later study.

In: a folder with the published tables (`REFERENCE`). Out: tidy tables in the layout of our own results.
No network is run and no image is read.
"""

from typing import Annotated

from pydantic import Field

from catscans_lib.errors import Strict


class Published(Strict):
    """Parameters of `published.ipynb`; `n_draws` is the number of bootstrap draws, and of permutations per test."""

    profile: str
    n_draws: Annotated[int, Field(ge=100)] = 2000
    draw_seed: int = 0
