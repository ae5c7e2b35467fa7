"""Does the advice mean what it says? Coverage of its intervals and calibration of its odds, on simulated studies.

    .venv/bin/python benchmarks/advice.py [--worlds 150] [--seed 0] [--cells 2,3]
    .venv/bin/python benchmarks/advice.py --ship [DATA]

A world has 2, 3, 5 or 10 known targets, seven sources of five kinds, and four new targets with one more source that nobody knows.
Its numbers are not drawn from the model's priors: effects are uniform or double exponential, noise is Student's t, slopes may be
negative, scales of targets are all equal or between a third and three. Prints a table of cells; 100
worlds per cell take 9 minutes. `model.CENTRAL` was set on seed 1001; other seeds judge it.

`--ship` writes what `catscans recommend` reads instead of computing it: the check of the shipped evidence and, from the images of
its targets below DATA, what they look like. Run it after a change of the evidence, of the model, or of the statistics.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

from catscans_lib import datasets
from catscans_lib.evidence import studies
from catscans_lib.images import store
from catscans_lib.recommend import known, looks, model

SOURCES = {
    "imagenet": "imagenet", "photos": "natural", "objects": "natural", "moles": "medical", "lungs": "medical",
    "radiology": "medical_large", "none": "none",
}  # fmt: skip
NEW = ("mine", "medical")  # a source without any known result
N_NEW = 4  # new targets per world: the fit takes most of the time
EDGES = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0])  # of the reliability curve


def world(
    rng: np.random.Generator, n_targets: int, unequal: bool, missing: float
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Return evidence as `known.evidence` does, and the candidates for each new target with their true AUCs (column truth)."""
    sources, families = [*SOURCES, NEW[0]], [*SOURCES.values(), NEW[1]]
    wide, narrow = rng.uniform(0, 0.8), rng.uniform(0, 0.4)
    kinds = {name: wide * rng.uniform(-1, 1) for name in dict.fromkeys(families)}
    effects = np.array([kinds[name] for name in families]) + narrow * rng.laplace(size=len(sources)) / np.sqrt(2)
    noise, slope, slope_sd = rng.uniform(0.04, 0.4), rng.uniform(-0.1, 0.4), rng.uniform(0, 0.15)
    rows = []
    for number in range(n_targets + N_NEW):
        x = 0.7 * rng.normal(size=len(sources)) + 0.7 * (effects - effects.mean()) / effects.std()
        scale = np.exp(rng.uniform(-1.1, 1.1)) if unequal else 1.0
        scatter = noise * rng.standard_t(5, len(sources)) * np.sqrt(3 / 5)
        merit = effects + (slope + slope_sd * rng.uniform(-1.7, 1.7)) * x + scatter
        truth, error = rng.normal(1.5, 0.8) + scale * merit, rng.uniform(0.03, 0.2)
        seen = truth + error * rng.normal(size=len(sources))
        se = error * np.sqrt(rng.chisquare(20) / 20)
        score = np.where(np.array(sources) == "none", np.nan, 3.0 + 0.02 * x)
        table = {
            "target": f"t{number}",
            "source": sources,
            "family": families,
            "truth": special.expit(truth),
            "logme": score,
        }
        rows.append(pd.DataFrame(table).assign(study="simulated", backbone="", auc=special.expit(seen), se=se))
    new, old = rows[n_targets:], pd.concat(rows[:n_targets], ignore_index=True)
    old = old[old["source"] != NEW[0]]
    lost = pd.Series(rng.uniform(size=len(old)) < missing, old.index)
    few = old.assign(there=~lost).groupby("target")["there"].transform("sum") < 3
    return old[~lost | few], new


def one(rng: np.random.Generator, n_targets: int, unequal: bool, missing: float) -> pd.DataFrame:
    """Return p_best, covered, is_best and loss of every candidate for each new target of one simulated world."""
    old, news = world(rng, n_targets, unequal, missing)
    fitted, parts = model.fit(old), []
    for new in news:
        table = model.rank(fitted, new).merge(new[["target", "source", "truth"]])
        gain = table["truth"] - table["truth"].mean()
        covered = (table["low"] <= gain) & (gain <= table["high"])
        parts.append(table.assign(covered=covered, is_best=gain == gain.max(), lost=gain.max() - gain))
    return pd.concat(parts, ignore_index=True)


def reliability(found: pd.DataFrame) -> pd.DataFrame:
    """Return by bin of the stated probability of being best: its mean, the share that was best, and the number."""
    bins = pd.cut(found["p_best"], EDGES, include_lowest=True)
    return found.groupby(bins, observed=True).agg(
        stated=("p_best", "mean"), true=("is_best", "mean"), n=("is_best", "size")
    )


def summary(found: pd.DataFrame) -> dict[str, float]:
    """Return coverage with its standard error over worlds, the furthest bin of the reliability curve, log scores, AUC lost."""
    covered, best = found.groupby("world")["covered"].mean(), found[found["is_best"]]
    by_target = found.groupby(["world", "target"])
    curve = reliability(found)
    far = (curve["stated"] - curve["true"]).abs()
    return {
        "coverage": covered.mean(), "se": covered.sem(), "furthest bin": far[curve["n"] >= 50].max(),
        "expected error": float(np.average(far, weights=curve["n"])),
        "log score": np.log(best["p_best"].clip(1e-4)).mean(), "base rate": -np.log(by_target.size()).mean(),
        "advice lost": found.loc[by_target["loss"].idxmin(), "lost"].mean(), "random lost": found["lost"].mean(),
    }  # fmt: skip


def run(n_worlds: int, seed: int, cells_of: Sequence[int] = (2, 3, 5, 10)) -> pd.DataFrame:
    """Return `one` of every world, with columns targets, scales, missing and world, for cells with so many known targets."""
    cells, parts = (
        [(unequal, missing, n) for unequal in (False, True) for missing in (0.0, 0.3) for n in (2, 3, 5, 10)],
        [],
    )
    for number, (unequal, missing, n_targets) in enumerate(cells):
        if n_targets not in cells_of:
            continue
        scales = "unequal" if unequal else "equal"
        for place in range(n_worlds):
            found = one(np.random.default_rng([seed, number, place]), n_targets, unequal, missing)
            parts.append(found.assign(targets=n_targets, scales=scales, missing=missing, world=place))
        print(f"{n_targets:>3} targets, {scales} scales, {missing:.0%} missing done", flush=True)
    return pd.concat(parts, ignore_index=True)


def ship(data: Path | None) -> None:
    """Write `evidence/more/advice_check.csv` and, with the folder of the images, `evidence/more/looks.csv`."""
    evidence, folder = known.evidence(), studies.folder() / "more"
    table = model.check(evidence).assign(evidence=model.digest(evidence))
    table.to_csv(folder / "advice_check.csv", index=False, float_format="%.6g")
    if data is None:
        return
    parts, about = [], [
        "Looks of the targets of our own runs, by `benchmarks/advice.py --ship DATA`: means of the statistics in",
        "catscans_lib/recommend/looks.py, and a factor that whitens them; 95 % of a target's images then have norms up to 1.",
        "Numbers only, no images. They come from",
    ]  # fmt: skip
    for target in evidence.loc[evidence["study"] == "own_sample", "target"].unique():
        card = datasets.get(target)
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "images.h5"
            store.write(path, card.read(data), dataset=target, size_px=looks.SIZE_PX)
            images = np.array(store.open_store(path).images)
        look = looks.of_images(images)
        rows = pd.DataFrame(look.factor, columns=looks.STATISTICS).replace(0, np.nan)
        parts.append(rows.assign(target=target, statistic=looks.STATISTICS, mean=look.mean))
        about.append(f"{target}: {len(images)} images of {card.title}, {card.url}; {card.licence}")
    text = pd.concat(parts)[["target", "statistic", "mean", *looks.STATISTICS]].to_csv(index=False, float_format="%.4g")
    (folder / "looks.csv").write_text("".join(f"# {line}\n" for line in about) + text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cells", type=lambda text: [int(n) for n in text.split(",")], default=(2, 3, 5, 10))
    parser.add_argument("--ship", nargs="?", const="", metavar="DATA")
    given = parser.parse_args()
    if given.ship is not None:
        ship(Path(given.ship) if given.ship else None)
        raise SystemExit
    found = run(given.worlds, given.seed, given.cells)
    table = pd.DataFrame({cell: summary(rows) for cell, rows in found.groupby(["targets", "scales", "missing"])}).T
    print(table.round(3).to_string(), reliability(found).round(3).to_string(), sep="\n\n")
