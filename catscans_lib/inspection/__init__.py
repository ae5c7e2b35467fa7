"""What networks have learnt: feature maps, Grad-CAM, similarity of layers, before and after fine-tuning.

In: saved networks of finished runs, and images. Out: arrays and tidy tables for figures. Trains nothing.
The notebook `feature_maps` calls it.
"""

from typing import Annotated

from pydantic import Field

from catscans_lib.datasets import Key
from catscans_lib.errors import Count, Seed, Strict


class FeatureMaps(Strict):
    """Parameters of `feature_maps.ipynb`.

    `image_ids` None takes the first image of each class, at most three; `layer` None is the first convolution. Sources are
    compared on `n_cka_images` images drawn with `seed`; Grad-CAM shows `n_examples` that are right and as many that are wrong.
    """

    profile: str
    target: Key
    sources: Annotated[list[str], Field(min_length=1)]
    image_ids: Annotated[list[str], Field(min_length=1)] | None = None
    layer: str | None
    n_maps: Count
    n_examples: Count = 3
    n_cka_images: Annotated[int, Field(ge=4, le=200)] = 200  # four: the estimator's least
    seed: Seed = 0
