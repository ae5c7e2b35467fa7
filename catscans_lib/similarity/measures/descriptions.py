"""Distances from descriptions of two datasets: the answers of experts, image statistics, and meta-features."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from catscans_lib.errors import InputError
from catscans_lib.similarity import valid_arrays
from catscans_lib.similarity.measure import Measure

LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green, blue (ITU-R BT.601)
ROUNDING = 1 / 12  # variance of rounding to whole grey levels: weaker structure is not in the image
LEAST_SPREAD = 1e-3  # of an image statistic, so that sets of equal images have finite distances
BLOCK = 256  # images at a time
ANSWERS = ["rater", "question", "answer"]


def expert_distance(answers: pd.DataFrame, source_answers: pd.DataFrame) -> float:
    """Share of answers that would have to change to describe both datasets alike, mean over questions.

    For each question this is the total variation distance, ``sum(|p - q|) / 2``, between the shares p and q of raters who gave
    each answer. Questions have equal weight; a rater answers a question at most once, and may skip it.

    Both tables have columns rater, question, answer, about one dataset each; the same questions in any order. 0: the same share
    of raters gave each answer; 1: no answer was given to both. Chance alone puts two groups of 14 raters 0.15 apart if half of
    all raters would say yes. Raises InputError if a column or an answer is missing, a rater answered a question twice, or the
    questions differ.

    Examples
    --------
    >>> def answered(*answers):
    ...     return pd.DataFrame({"rater": range(len(answers)), "question": "colour?", "answer": answers})
    >>> expert_distance(answered("yes", "yes", "yes", "no"), answered("yes", "no", "no", "no"))
    0.5
    """
    one, other = _shares(answers, "answers"), _shares(source_answers, "source_answers")
    if unlike := set(one.index.unique(0)) ^ set(other.index.unique(0)):
        raise InputError(f"Both datasets need the same questions; only one of them has: {', '.join(sorted(unlike))}.")
    apart = one.sub(other, fill_value=0).abs().groupby(level="question").sum() / 2
    return float(apart.mean())


def _shares(answers: pd.DataFrame, what: str) -> pd.Series:
    """Share of raters who gave an answer, by question and answer."""
    if missing := [column for column in ANSWERS if column not in answers.columns]:
        raise InputError(f"{what} needs the columns {', '.join(ANSWERS)}; missing: {', '.join(missing)}.")
    bad = answers[ANSWERS].isna().any(axis=1)
    if bad.any() or answers.empty:
        where = f"row {answers.index[bad.argmax()]}" if bad.any() else "every row"
        raise InputError(f"{what}: {where} is empty. Leave out the rows of questions that were not answered.")
    twice = answers.duplicated(["rater", "question"])
    if twice.any():
        rater, question = answers.loc[twice, ["rater", "question"]].iloc[0]
        raise InputError(
            f"{what}: rater {rater} answered '{question}' more than once. Pass the answers about one dataset."
        )
    return answers.groupby("question")["answer"].value_counts(normalize=True)


def describe(
    labels: ArrayLike | None = None, images: np.ndarray | None = None, features: ArrayLike | None = None
) -> pd.Series:
    """Return the meta-features that can be computed from the arguments given; at least one is needed.

    Parameters
    ----------
    labels : array_like of int, shape (n_images,), optional
        Gives log10_n_images, n_classes and imbalance: 1 - entropy of the class shares / log n_classes, in [0, 1).
    images : numpy.ndarray of uint8, shape (n_images, height, width, 3), optional
        Gives the means of `image_statistics`.
    features : array_like of float, shape (n_images, n_features), optional
        Gives correlation (mean absolute, over pairs of features), skewness and kurtosis (excess; means over features that vary)
        and effective_rank (exponential of the entropy of the singular values of centred features).

    References
    ----------
    Rivolli et al. (2022), doi:10.1016/j.knosys.2021.108101; Roy and Vetterli (2007), EUSIPCO, for the effective rank.
    """
    parts = []
    if labels is not None:
        parts.append(_of_labels(valid_arrays.labels(labels, len(labels))))
    if images is not None:
        parts.append(image_statistics(images).mean())
    if features is not None:
        parts.append(_of_features(valid_arrays.features(features)))
    if not parts:
        raise InputError("Meta-features need labels, images or features; got none. Pass at least one of them.")
    return pd.concat(parts)


def _of_labels(labels: np.ndarray) -> pd.Series:
    shares = np.bincount(labels) / len(labels)
    imbalance = 1 + (shares * np.log(shares)).sum() / np.log(len(shares))
    return pd.Series({"log10_n_images": np.log10(len(labels)), "n_classes": len(shares), "imbalance": imbalance})


def _of_features(x: np.ndarray) -> pd.Series:
    from scipy.stats import kurtosis, skew

    varies = x.std(axis=0) > 1e-12 * np.abs(x).max(axis=0)
    if not varies.any():
        return pd.Series({"correlation": 0.0, "skewness": 0.0, "kurtosis": 0.0, "effective_rank": 1.0})
    x = x[:, varies]
    correlations = np.abs(np.atleast_2d(np.corrcoef(x, rowvar=False)))[np.triu_indices(x.shape[1], 1)]
    sizes = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    shares = sizes[sizes > 0] / sizes.sum()
    return pd.Series(
        {
            "correlation": correlations.mean() if len(correlations) else 0.0,
            "skewness": skew(x).mean(),
            "kurtosis": kurtosis(x).mean(),
            "effective_rank": np.exp(-(shares * np.log(shares)).sum()),
        }
    )


def image_statistics(images: np.ndarray) -> pd.DataFrame:
    """Return colour and texture statistics, one row per image.

    `images` are uint8, shape (n_images, height, width, 3), at least 8 pixels high and wide. Columns: mean_red, mean_green,
    mean_blue, sd_red, sd_green, sd_blue: in [0, 1] of the full range; grey_entropy: of the 256 grey levels, in bits, 0 to 8;
    spectrum_slope: of log power over log frequency, about -2 for photographs, 0 for white noise and blank images.
    """
    images = valid_arrays.images(images)
    parts = []
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK] / 255
        grey = np.round(block @ LUMINANCE * 255)
        columns = [block.mean(axis=(1, 2)), block.std(axis=(1, 2)), _entropy(grey)[:, None], _slope(grey)[:, None]]
        parts.append(np.concatenate(columns, axis=1))
    colours = [f"{what}_{colour}" for what in ("mean", "sd") for colour in ("red", "green", "blue")]
    return pd.DataFrame(np.concatenate(parts), columns=[*colours, "grey_entropy", "spectrum_slope"])


def _entropy(grey: np.ndarray) -> np.ndarray:
    """Entropy of the grey levels of each image, in bits, shape (n_images,)."""
    n, n_pixels = len(grey), grey[0].size
    places = np.arange(n)[:, None] * 256 + grey.reshape(n, -1).astype(int)
    shares = np.bincount(places.ravel(), minlength=256 * n).reshape(n, 256) / n_pixels
    return -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)


def _slope(grey: np.ndarray) -> np.ndarray:
    """Slope of log power over log frequency, shape (n_images,): power of a windowed image, averaged over rings.

    Rings run from one wave across the shorter side to half the number of its pixels; the window keeps the borders of the image
    from counting as edges in it.
    """
    height, width = grey.shape[1:]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    waves = np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)
    power = np.abs(waves) ** 2 / (window**2).sum() + ROUNDING
    n_rings = min(height, width) // 2
    ring = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) * min(height, width)
    ring = np.round(ring).astype(int)
    rings = np.arange(1, n_rings + 1)
    members = (ring.reshape(-1, 1) == rings).astype(float)
    levels = np.log(power.reshape(len(grey), -1) @ (members / members.sum(axis=0)))
    across = np.log(rings) - np.log(rings).mean()
    return levels @ across / (across @ across)


def image_distance(images: np.ndarray, source_images: np.ndarray) -> float:
    """Root mean square difference of the mean `image_statistics`, each in pooled standard deviations over images.

    At least 0; 0 for a set and itself. Use images of the same size: the slope of the spectrum depends on it.
    """
    one, other = image_statistics(images), image_statistics(source_images)
    spread = np.sqrt((one.var(ddof=0) + other.var(ddof=0)) / 2).clip(lower=LEAST_SPREAD)
    return float(np.sqrt((((one.mean() - other.mean()) / spread) ** 2).mean()))


def meta_distance(meta_features: pd.Series, source_meta_features: pd.Series, meta_scale: pd.Series) -> float:
    """Root mean square difference of two vectors of meta-features, each in units of its scale.

    Both are as `describe` returns them, the same meta-features in any order. `meta_scale` is the standard deviation of each over
    the datasets that are compared (see `scale`), so the distance depends on which these are; meta-features with 0 are left out.
    At least 0.
    """
    names = list(meta_features.index)
    if set(names) != set(source_meta_features.index) or not set(names) <= set(meta_scale.index):
        raise InputError(
            "Both datasets and the scale need the same meta-features. Compute all of them from the same arguments."
        )
    used = [name for name in names if meta_scale[name] > 0]
    if not used:
        return 0.0
    apart = (meta_features[used] - source_meta_features[used]) / meta_scale[used]
    return float(np.sqrt((apart**2).mean()))


def scale(table: pd.DataFrame) -> pd.Series:
    """Return the standard deviation of each meta-feature over datasets (rows, at least two), for `meta_distance`."""
    return table.std(ddof=1).where(np.ptp(table.to_numpy(), axis=0) > 0, 0.0)


_TWO = {"larger_is_closer": False, "is_symmetric": True, "range": (0, np.inf)}
MEASURES = (
    Measure(
        name="expert_distance", title="Experts", function=expert_distance, arguments=("answers", "source_answers"),
        larger_is_closer=False, range=(0, 1), cost="O(n_raters n_questions)", reference="vandenbrandt2021, arXiv:2107.05940",
        blind_to="everything that the questionnaire does not ask; which of its questions matter", is_symmetric=True,
        why="the original study's second measure",
    ),
    Measure(
        name="image_distance", title="Image statistics", function=image_distance, arguments=("images", "source_images"),
        **_TWO, cost="O(n pixels)", reference="torralba2003, doi:10.1088/0954-898X/14/3/302",
        blind_to="labels, shapes, and positions within the image",
        why="needs no network: shows what colour and texture alone can tell",
    ),
    Measure(
        name="meta_distance", title="Meta-features", function=meta_distance,
        arguments=("meta_features", "source_meta_features", "meta_scale"), **_TWO, cost="O(1) on the meta-features",
        reference="rivolli2022, doi:10.1016/j.knosys.2021.108101",
        blind_to="everything that a few summary numbers do not show; which of them matter",
        why="dataset size, number of classes and imbalance, which users ask about first",
    ),
)  # fmt: skip
