"""Draws from the posterior of a crossed hierarchical model: outcomes of sources on targets, by a Gibbs sampler in NumPy.

On the logit scale, for source s (a member of family f) on target t, with a score x:

    outcome = level_t + scale_t (family_f + source_s + (slope + slope_t) x + noise) + sampling error

Family, source, slope_t and noise are normal with mean 0 and unknown standard deviations; scale_t is log-normal around 1; the
levels are free. The standard deviations are drawn, too: with few targets they are uncertain, which widens what is predicted.
"""

from typing import NamedTuple

import numpy as np

N_CHAINS, N_BURN, N_KEPT = 24, 100, 100  # chains run side by side, as arrays
SDS = np.exp(np.linspace(np.log(0.005), np.log(3.0), 64))  # grid for standard deviations, in logits
LOG_SCALES = np.linspace(-2.0, 2.0, 65)  # grid for the logarithm of a target's scale
SLOPE_SD = 0.5  # prior, in logits per standard deviation of the score
TYPICAL = {
    "family": 0.4,
    "source": 0.3,
    "slopes": 0.15,
    "noise": 0.2,
    "scales": 0.4,
}  # of half-t priors, 3 degrees of freedom
PARTS = ("family", "source", "slopes", "noise")  # what a target's scale multiplies


class Data(NamedTuple):
    """Rows are pairs of source and target; codes count from 0."""

    y: np.ndarray  # (n,) logit AUC
    se: np.ndarray  # (n,) its sampling error, 0: none, or part of the noise
    x: np.ndarray  # (n,) score
    target: np.ndarray  # (n,) codes
    source: np.ndarray
    family: np.ndarray


class Draws(NamedTuple):
    """One row per draw."""

    family: np.ndarray  # (n_draws, n_families)
    source: np.ndarray  # (n_draws, n_sources)
    slope: np.ndarray  # (n_draws,)
    sds: dict[str, np.ndarray]  # (n_draws,) standard deviations of the parts named in TYPICAL


def sample(data: Data, seed: int) -> Draws:
    """Return draws from the posterior."""
    rng = np.random.default_rng(seed)
    n_targets, n_families, n_sources = (int(codes.max()) + 1 for codes in (data.target, data.family, data.source))
    effects = [np.eye(n_families)[data.family], np.eye(n_sources)[data.source], data.x[:, None]]
    design, member = np.hstack(effects), np.eye(n_targets)[data.target]  # (n, p), (n, n_targets)
    sizes = member.sum(axis=0)

    def centred(values: np.ndarray) -> np.ndarray:  # (..., n), minus their target's mean
        return values - (values @ member / sizes)[..., data.target]

    z, x = centred(design.T).T, centred(data.x)
    gram, cross, spread = z.T @ z, member.T @ (z * x[:, None]), x**2 @ member
    shape = (N_CHAINS, n_targets)
    theta, log_scale = np.tile(data.y, (N_CHAINS, 1)), np.zeros(shape)
    deviation = np.zeros(shape)
    beta = np.zeros((N_CHAINS, design.shape[1]))
    sds = {name: np.exp(rng.normal(np.log(typical), 0.5, N_CHAINS)) for name, typical in TYPICAL.items()}
    noisy = data.se > 0
    kept: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
    for step in range(N_BURN + N_KEPT):
        noise, slopes = sds["noise"], sds["slopes"]
        # scales of the targets, with the levels integrated out
        own, fitted = centred(theta), beta @ z.T + deviation[:, data.target] * x
        log_scale = _scales(
            rng, [(own**2) @ member, (own * fitted) @ member, (fitted**2) @ member], sizes, noise, sds["scales"]
        )
        scaled = own * np.exp(-log_scale)[:, data.target]
        # effects and slope, with the levels and slopes of the targets integrated out
        share = slopes[:, None] ** 2 / (noise[:, None] ** 2 + slopes[:, None] ** 2 * spread)
        along = (scaled * x) @ member
        prior = np.full((N_CHAINS, design.shape[1]), SLOPE_SD)
        prior[:, :n_families], prior[:, n_families:-1] = sds["family"][:, None], sds["source"][:, None]
        precision = (gram - np.einsum("ct,tp,tq->cpq", share, cross, cross, optimize=True)) / noise[:, None, None] ** 2
        precision += np.eye(design.shape[1]) * prior[:, None] ** -2.0
        right = (scaled @ z - (share * along) @ cross) / noise[:, None] ** 2
        root = np.linalg.cholesky(precision)
        half = np.linalg.solve(root, right[..., None]) + rng.normal(size=(*right.shape, 1))
        beta = np.linalg.solve(root.transpose(0, 2, 1), half)[..., 0]
        # slopes and levels of the targets
        rest = scaled - beta @ z.T
        exact = spread / noise[:, None] ** 2 + slopes[:, None] ** -2.0
        deviation = (rest * x) @ member / noise[:, None] ** 2 / exact + rng.normal(size=shape) / np.sqrt(exact)
        rest -= deviation[:, data.target] * x
        scale = np.exp(log_scale)[:, data.target]
        if noisy.any():
            linear = beta @ design.T + deviation[:, data.target] * data.x
            level = (theta / scale - linear) @ member / sizes + rng.normal(size=shape) * noise[:, None] / np.sqrt(sizes)
            mean, sd = scale * (level[:, data.target] + linear), scale * noise[:, None]
            weight = np.where(noisy, sd**2 / (sd**2 + data.se**2), 1.0)
            theta = mean + weight * (data.y - mean) + np.sqrt(weight) * data.se * rng.normal(size=mean.shape)
        # standard deviations
        squares = {"family": beta[:, :n_families], "source": beta[:, n_families:-1], "slopes": deviation, "noise": rest}
        for name, part in {**squares, "scales": log_scale}.items():
            n = part.shape[1] - n_targets * (name == "noise")
            sds[name] = _sds(rng, (part**2).sum(axis=1), n, TYPICAL[name])
        # all scales up, all that they multiply down: the likelihood stays
        shift = rng.normal(0, 0.3, N_CHAINS)
        change = ((log_scale**2).sum(axis=1) - ((log_scale + shift[:, None]) ** 2).sum(axis=1)) / (
            2 * sds["scales"] ** 2
        )
        change += beta[:, -1] ** 2 * (1 - np.exp(-2 * shift)) / (2 * SLOPE_SD**2) - shift
        for name in PARTS:
            change += _log_prior(sds[name] * np.exp(-shift), TYPICAL[name]) - _log_prior(sds[name], TYPICAL[name])
        shift[np.log(rng.uniform(size=N_CHAINS)) > change] = 0.0
        log_scale, down = log_scale + shift[:, None], np.exp(-shift)
        beta, deviation = beta * down[:, None], deviation * down[:, None]
        sds |= {name: sds[name] * down for name in PARTS}
        if step >= N_BURN:
            kept.append((beta, dict(sds)))
    beta = np.concatenate([each for each, _ in kept])
    all_sds = {name: np.concatenate([each[name] for _, each in kept]) for name in TYPICAL}
    return Draws(beta[:, :n_families], beta[:, n_families:-1], beta[:, -1], all_sds)


def _log_prior(sds: np.ndarray, typical: float) -> np.ndarray:
    """Log density of the logarithm of a standard deviation with a half-t prior."""
    return -2.0 * np.log1p((sds / typical) ** 2 / 3) + np.log(sds)


def _sds(rng: np.random.Generator, squares: np.ndarray, n: int, typical: float) -> np.ndarray:
    """Draw the standard deviation of `n` normal values with these sums of squares, (n_chains,)."""
    logs = _log_prior(SDS, typical) - n * np.log(SDS) - squares[:, None] / (2 * SDS**2)
    return np.exp(_from_grid(rng, logs, np.log(SDS)))


def _scales(
    rng: np.random.Generator, products: list[np.ndarray], sizes: np.ndarray, noise: np.ndarray, sd: np.ndarray
) -> np.ndarray:
    """Draw the logarithms of the targets' scales, (n_chains, n_targets).

    `products` are sums over a target's sources: squares of the outcomes, outcomes times fitted values, squares of those.
    """
    inverse = np.exp(-LOG_SCALES)
    outcome, both, fitted = (part[..., None] for part in products)
    error = outcome * inverse**2 - 2 * both * inverse + fitted
    logs = -(sizes[:, None] - 1) * LOG_SCALES - error / (2 * noise[:, None, None] ** 2)
    return _from_grid(rng, logs - LOG_SCALES**2 / (2 * sd[:, None, None] ** 2), LOG_SCALES)


def _from_grid(rng: np.random.Generator, logs: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Draw from an even grid with these log densities along the last axis, uniformly around a grid point."""
    total = np.exp(logs - logs.max(axis=-1, keepdims=True)).cumsum(axis=-1)
    places = (total < rng.uniform(size=(*total.shape[:-1], 1)) * total[..., -1:]).sum(axis=-1)
    return grid[places] + (grid[1] - grid[0]) * rng.uniform(-0.5, 0.5, places.shape)
