"""How often do 95 % intervals of the size from which pretraining adds little contain the true size? Prints one table.

    .venv/bin/python benchmarks/crossings.py [--studies 300] [--draws 400] [--write]

A simulated study has random weights and one source on a target with two classes, at four numbers of training images, three
folds and several seeds. Scores are binormal: both networks see the same difficulty of an image, each training adds noise of its
own, and each seed draws other training images, which move the distance between the classes, in all folds alike for a share of
that variance. So the expected AUC of every size is known, and the size from which the gain is at most the margin. The study goes
through `tables`, `intervals` and `sizes` as in the notebook `sizes`.
"""

import argparse
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from catscans_lib.evaluation import intervals, sizes, tables
from catscans_lib.evidence import own

NUMBERS = np.array([20.0, 60.0, 180.0, 540.0])  # of training images
MARGIN = 0.01
N_FOLDS = 3
SHARED, OWN = 0.8, 0.6  # standard deviations of an image's score: common to all networks, and of each training
CLASSES = np.array(["a", "b"])


class Design(NamedTuple):
    """A true curve of gains, and how noisy it is."""

    name: str
    gains: tuple[float, ...]  # of the expected AUC, at each of `NUMBERS`
    n_seeds: int
    n_images: int  # held-out images of a fold
    seed_sd: float  # of the distance between the classes
    alike: float = 0.5  # share of its variance that a seed has in all folds


STEEP, FLAT, EARLY, LATE = (
    (0.20, 0.12, 0.04, -0.02),
    (0.05, 0.03, 0.015, 0.0),
    (0.04, -0.02, -0.02, -0.02),
    (0.1, 0.08, 0.05, 0.0),
)
DESIGNS = (
    Design("steep curve, 3 seeds", STEEP, 3, 100, 0.1),
    Design("steep curve, 2 seeds", STEEP, 2, 100, 0.1),
    Design("steep curve, 5 seeds", STEEP, 5, 100, 0.1),
    Design("flat curve, 3 seeds", FLAT, 3, 100, 0.1),
    Design("flat curve, 3 seeds, 400 images a fold", FLAT, 3, 400, 0.1),
    Design("crossing near the smallest size", EARLY, 3, 100, 0.1),
    Design("crossing near the largest size", LATE, 3, 100, 0.1),
    Design("seeds differ much", STEEP, 3, 100, 0.3),
    Design("seeds differ much, not alike in folds", STEEP, 3, 100, 0.3, 0.0),
    Design("equal networks of a seed, 1 seed", STEEP, 1, 100, 0.0),
)  # fmt: skip


def distance(auc: np.ndarray, seed_sd: float) -> np.ndarray:
    """Return the mean distance between the classes that gives this expected AUC."""
    return special.ndtri(auc) * np.sqrt(2 * (SHARED**2 + OWN**2) + seed_sd**2)


def study(design: Design, rng: np.random.Generator) -> pd.DataFrame:
    """Return the predictions of one simulated study."""
    n, parts = design.n_images, []
    base = np.array([0.60, 0.66, 0.72, 0.78])  # AUC of random weights
    shape = (2, len(NUMBERS), design.n_seeds)
    means = np.stack([distance(base, design.seed_sd), distance(base + design.gains, design.seed_sd)])
    common = np.sqrt(design.alike) * design.seed_sd * rng.normal(size=shape)
    labels = np.arange(n) % 2
    for fold in range(1, N_FOLDS + 1):
        images = SHARED * rng.normal(size=n)
        own = np.sqrt(1 - design.alike) * design.seed_sd * rng.normal(size=shape)
        apart = means[:, :, None] + common + own
        score = special.expit(labels * apart[..., None] + images + OWN * rng.normal(size=(*shape, n)))
        names = [f"{fold}_{number}" for number in range(n)]
        for source, size, seed in np.ndindex(shape):
            of = {"source": ("none", "s")[source], "target": "t", "mode": "fine_tune", "n_train": int(NUMBERS[size])}
            of |= {"fold": fold, "seed": seed, "image_id": names, "group": names, "label": CLASSES[labels]}
            parts.append(
                pd.DataFrame(of | {"score_a": 1 - score[source, size, seed], "score_b": score[source, size, seed]})
            )
    return pd.concat(parts, ignore_index=True)


def covered(design: Design, n_studies: int, n_draws: int, seed: int) -> dict[str, object]:
    """Return the coverage of the interval over simulated studies, and the share of studies whose interval is closed."""
    (truth,) = sizes.crossing(NUMBERS, np.array(design.gains)[:, None], MARGIN)
    rng, rows = np.random.default_rng(seed), []
    for number in range(n_studies):
        predictions = study(design, rng)
        aucs = tables.fold_aucs(predictions, sizes.RUN)
        draws = intervals.draws(predictions, n_draws=n_draws, seed=number, average="weighted", keys=sizes.RUN)
        (row,) = sizes.crossings(aucs, draws, MARGIN, seed=number).query("other == 'none'").itertuples()
        low, high = (np.inf if np.isnan(end) else end for end in (row.low, row.high))
        rows.append((low > truth, high < truth, NUMBERS[0] < low and high < np.inf))
    above, below, closed = np.mean(rows, axis=0)
    hit = 1 - above - below
    error = np.sqrt(max(hit * (1 - hit), 0.05 * 0.95) / n_studies)
    return {
        "design": design.name, "true_size": round(truth), "covered_pct": 100 * hit, "se": 100 * error,
        "too_high_pct": 100 * above, "too_low_pct": 100 * below, "closed": 100 * closed,
    }  # fmt: skip


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--draws", type=int, default=400, help="of the bootstrap; a profile takes 2,000")
    parser.add_argument("--designs", type=int, nargs="+", default=range(len(DESIGNS)), help="their numbers, from 0")
    parser.add_argument(
        "--write", action="store_true", help="write evidence/more/own_crossing_coverage.csv, for the book"
    )
    given = parser.parse_args()
    rows = [covered(DESIGNS[number], given.studies, given.draws, number) for number in given.designs]
    table = pd.DataFrame(rows).round(1)
    print(table.to_string(index=False))
    if given.write:
        table.drop(columns=["too_high_pct", "too_low_pct"]).to_csv(own.axis_path("crossing_coverage"), index=False)
    print(
        f"{given.studies:,} studies each, {given.draws:,} draws, margin {MARGIN:g}, sizes {NUMBERS.astype(int).tolist()}."
    )


if __name__ == "__main__":
    main()
