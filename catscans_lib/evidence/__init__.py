"""Published results of natural and medical sources, read from `evidence/` and computed again.

In: tidy tables of other studies, with a record of where each comes from (`studies`). Out: differences between kinds of source
with intervals, their random-effects means, and what scores predict. No network is run and no image is read.
"""

from typing import Annotated

from pydantic import Field

from catscans_lib.errors import Seed, Strict


class Evidence(Strict):
    """Parameters of `evidence.ipynb`; `n_draws` is the number of bootstrap draws, and of permutations per test."""

    profile: str
    n_draws: Annotated[int, Field(ge=100)] = 1000
    draw_seed: Seed = 0
