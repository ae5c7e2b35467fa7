"""Draws from the posterior of a crossed hierarchical model: outcomes of sources on targets, by a Gibbs sampler in NumPy.

On the logit scale, for source s (a member of family f) on target t, with a score x:

    outcome = level_t + scale_t (family_f + source_s + (slope + slope_t) x + noise) + sampling error

Family, source, slope_t and noise are normal around 0 with unknown standard deviations; scale_t is log-normal around 1; the levels
are free. The standard deviations are drawn, too: with few targets they are uncertain, which widens what is predicted.
"""

from typing import NamedTuple

import numpy as np

N_CHAINS, N_BURN, N_KEPT = 16, 150, 150  # chains run side by side, as arrays
SDS = np.exp(np.linspace(np.log(0.005), np.log(3.0), 64))  # grid for standard deviations, in logits
LOG_SCALES = np.linspace(-2.0, 2.0, 41)  # grid for the logarithm of a target's scale
SLOPE_SD = 0.5  # prior, in logits per standard deviation of the score
# Scales of the half-t priors (3 degrees of freedom) of the standard deviations; their medians are .77 of it, about those of six
# published studies (book/decisions.md). A target's scale multiplies all but its own.
TYPICAL = {"family": 0.33, "source": 0.26, "slopes": 0.08, "noise": 0.2, "scales": 0.5}
PARTS = ("family", "source", "slopes", "noise")


class Data(NamedTuple):
    """Arrays (n,), a row per pair of source and target; codes count from 0."""

    y: np.ndarray  # logit AUC
    se: np.ndarray  # its sampling error; 0: none, or part of the noise
    x: np.ndarray  # score
    target: np.ndarray  # codes
    source: np.ndarray
    family: np.ndarray


class Draws(NamedTuple):
    """One row per draw: effects (n_draws, n_families) and (n_draws, n_sources), slope and standard deviations (n_draws,)."""

    family: np.ndarray
    source: np.ndarray
    slope: np.ndarray
    sds: dict[str, np.ndarray]  # by the names in TYPICAL


def sample(data: Data, seed: int) -> Draws:
    """Return draws from the posterior."""
    chains = _Chains(data, np.random.default_rng(seed))
    kept = []
    for step in range(N_BURN + N_KEPT):
        chains.step()
        if step >= N_BURN:
            kept.append((chains.beta, dict(chains.sds)))
    beta, n_families = np.concatenate([each for each, _ in kept]), chains.n_families
    sds = {name: np.concatenate([each[name] for _, each in kept]) for name in TYPICAL}
    return Draws(beta[:, :n_families], beta[:, n_families:-1], beta[:, -1], sds)


class _Chains:
    """State of all chains: arrays (n_chains, ...) of coefficients, and of slopes, scales and true outcomes of the targets."""

    def __init__(self, data: Data, rng: np.random.Generator) -> None:
        n_targets, n_sources, self.n_families = (int(codes.max()) + 1 for codes in data[3:])
        self.data, self.rng = data, rng
        self.design = np.hstack([np.eye(self.n_families)[data.family], np.eye(n_sources)[data.source], data.x[:, None]])
        self.member = np.eye(n_targets)[data.target]  # (n, n_targets)
        self.sizes = self.member.sum(axis=0)
        self.z, self.x = self.centred(self.design.T).T, self.centred(data.x)
        self.gram, self.cross = self.z.T @ self.z, self.member.T @ (self.z * self.x[:, None])
        self.spread = self.x**2 @ self.member
        self.true = np.tile(data.y, (N_CHAINS, 1))
        self.beta = np.zeros((N_CHAINS, self.design.shape[1]))
        self.log_scale, self.deviation = np.zeros((2, N_CHAINS, n_targets))
        self.sds = {name: typical * np.exp(rng.normal(0, 0.5, N_CHAINS)) for name, typical in TYPICAL.items()}

    def centred(self, values: np.ndarray) -> np.ndarray:
        """Subtract from values (..., n) their target's mean: so the levels are integrated out."""
        return values - (values @ self.member / self.sizes)[..., self.data.target]

    def step(self) -> None:
        """Draw everything once, each given the rest."""
        centred = self.centred(self.true)
        self.draw_scales(centred)
        scaled = centred * np.exp(-self.log_scale)[:, self.data.target]
        self.draw_effects(scaled)
        rest = self.draw_slopes(scaled)
        if self.data.se.any():
            self.draw_outcomes()
        squares = {"family": self.beta[:, : self.n_families], "source": self.beta[:, self.n_families : -1]}
        parts = squares | {"slopes": self.deviation, "noise": rest, "scales": self.log_scale}
        n = [part.shape[1] - len(self.sizes) * (name == "noise") for name, part in parts.items()]
        drawn = _sds(self.rng, np.stack([(part**2).sum(axis=1) for part in parts.values()]), np.array(n), list(parts))
        self.sds = dict(zip(parts, drawn, strict=True))
        self.shift_scales()

    def draw_scales(self, centred: np.ndarray) -> None:
        fitted = self.beta @ self.z.T + self.deviation[:, self.data.target] * self.x
        outcome, both, model = ((part @ self.member)[..., None] for part in (centred**2, centred * fitted, fitted**2))
        inverse = np.exp(-LOG_SCALES)
        error = outcome * inverse**2 - 2 * both * inverse + model
        logs = -(self.sizes[:, None] - 1) * LOG_SCALES - error / (2 * self.sds["noise"][:, None, None] ** 2)
        logs -= LOG_SCALES**2 / (2 * self.sds["scales"][:, None, None] ** 2)
        self.log_scale = _from_grid(self.rng, logs, LOG_SCALES)

    def draw_effects(self, scaled: np.ndarray) -> None:
        """Draw families, sources and slope together, with the targets' levels and slopes integrated out."""
        noise, slopes = self.sds["noise"][:, None], self.sds["slopes"][:, None]
        share = slopes**2 / (noise**2 + slopes**2 * self.spread)
        prior = np.full(self.beta.shape, SLOPE_SD)
        prior[:, : self.n_families] = self.sds["family"][:, None]
        prior[:, self.n_families : -1] = self.sds["source"][:, None]
        lost = (self.cross.T * share[:, None]) @ self.cross
        precision = (self.gram - lost) / noise[..., None] ** 2 + np.eye(prior.shape[1]) * prior[:, None] ** -2.0
        right = (scaled @ self.z - (share * ((scaled * self.x) @ self.member)) @ self.cross) / noise**2
        root = np.linalg.cholesky(precision)
        half = np.linalg.solve(root, right[..., None]) + self.rng.normal(size=(*right.shape, 1))
        self.beta = np.linalg.solve(root.transpose(0, 2, 1), half)[..., 0]

    def draw_slopes(self, scaled: np.ndarray) -> np.ndarray:
        """Draw the targets' own slopes; return the noise that is left."""
        rest, variance = scaled - self.beta @ self.z.T, self.sds["noise"][:, None] ** 2
        precision = self.spread / variance + self.sds["slopes"][:, None] ** -2.0
        mean = (rest * self.x) @ self.member / variance / precision
        self.deviation = mean + self.rng.normal(size=mean.shape) / np.sqrt(precision)
        return rest - self.deviation[:, self.data.target] * self.x

    def draw_outcomes(self) -> None:
        """Draw the levels, and the outcomes without their sampling error."""
        target, noise, se = self.data.target, self.sds["noise"][:, None], self.data.se
        scale = np.exp(self.log_scale)[:, target]
        fitted = self.beta @ self.design.T + self.deviation[:, target] * self.data.x
        mean = (self.true / scale - fitted) @ self.member / self.sizes
        level = mean + self.rng.normal(size=mean.shape) * noise / np.sqrt(self.sizes)
        mean, variance = scale * (level[:, target] + fitted), (scale * noise) ** 2
        weight = variance / (variance + se**2)
        self.true = mean + weight * (self.data.y - mean) + np.sqrt(weight) * se * self.rng.normal(size=mean.shape)

    def shift_scales(self) -> None:
        """Metropolis step for better mixing: all scales up, all that they multiply down, so that the likelihood stays."""
        shift = self.rng.normal(0, 0.3, N_CHAINS)
        squares = (self.log_scale**2).sum(axis=1) - ((self.log_scale + shift[:, None]) ** 2).sum(axis=1)
        change = squares / (2 * self.sds["scales"] ** 2) - shift
        change += self.beta[:, -1] ** 2 * (1 - np.exp(-2 * shift)) / (2 * SLOPE_SD**2)
        for name in PARTS:
            change += _log_prior(self.sds[name] * np.exp(-shift), name) - _log_prior(self.sds[name], name)
        shift[np.log(self.rng.uniform(size=N_CHAINS)) > change] = 0.0
        down = np.exp(-shift)[:, None]
        self.log_scale = self.log_scale + shift[:, None]
        self.beta, self.deviation = self.beta * down, self.deviation * down
        self.sds |= {name: self.sds[name] * down[:, 0] for name in PARTS}


def _log_prior(sds: np.ndarray, name: str) -> np.ndarray:
    """Log density of the logarithm of a standard deviation with a half-t prior."""
    return -2.0 * np.log1p((sds / TYPICAL[name]) ** 2 / 3) + np.log(sds)


def _sds(rng: np.random.Generator, squares: np.ndarray, n: np.ndarray, names: list[str]) -> np.ndarray:
    """Draw the named standard deviations, (5, n_chains), of `n` normal values each, (5,), with these sums of squares."""
    known = np.stack([_log_prior(SDS, name) for name in names]) - n[:, None] * np.log(SDS)
    logs = known[:, None] - squares[..., None] / (2 * SDS**2)
    return np.exp(_from_grid(rng, logs, np.log(SDS)))


def _from_grid(rng: np.random.Generator, logs: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Draw from an even grid with these log densities along the last axis, uniformly around a grid point."""
    total = np.exp(logs - logs.max(axis=-1, keepdims=True)).cumsum(axis=-1)
    places = (total < rng.uniform(size=(*total.shape[:-1], 1)) * total[..., -1:]).sum(axis=-1)
    return grid[places] + (grid[1] - grid[0]) * rng.uniform(-0.5, 0.5, places.shape)
