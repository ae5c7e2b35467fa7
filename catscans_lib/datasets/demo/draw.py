"""Outlines and textures, drawn for many images at once: arrays of shape (n, size, size), float32.

Coordinates run from -1 to 1 over the image. Every texture has the same histogram (pixels are replaced by ranks), so that
colour statistics cannot tell the classes.
"""

from functools import partial

import numpy as np
from scipy import ndimage

Array = np.ndarray
Rng = np.random.Generator


def coordinates(n: int, size: int, angle: Array | float = 0.0, centre: tuple[Array, Array] = (0.0, 0.0)) -> Array:
    """Return x and y of every pixel, rotated by `angle` (radians) around `centre`, shape (2, n, size, size)."""
    line = np.linspace(-1, 1, size, dtype="float32")
    x = line[None, None, :] - column(centre[0], n)
    y = line[None, :, None] - column(centre[1], n)
    cos, sin = column(np.cos(angle), n), column(np.sin(angle), n)
    return np.stack([cos * x + sin * y, cos * y - sin * x])


def outline(kind: str, at: Array, radius: Array, rng: Rng, *, n_corners: int | None = None) -> Array:
    """Return a mask of a closed shape: 1 inside, 0 outside, with a transition of about one pixel.

    `kind` is smooth, irregular, polygon, star or ring; `at` holds coordinates around the shape's centre, shape (2, n, size,
    size). Shapes of one `radius`, shape (n,), have about the same area. A polygon or star has `n_corners`, or a random number.
    """
    n, size = at.shape[1:3]
    distance, angle = np.hypot(*at), np.arctan2(at[1], at[0])
    edge = _edge(kind, angle, n, rng, n_corners)
    inside = soft(column(radius) * edge - distance, size)
    if kind == "ring":
        inside = inside * soft(distance - column(radius * 0.6) * edge, size)
    return inside


def soft(depth: Array, size: int) -> Array:
    """Return a mask with a transition of one pixel from the depth inside an edge (in coordinates)."""
    return 1 / (1 + np.exp(np.clip(-2.0 * size * depth, -30, 30)))


def _edge(kind: str, angle: Array, n: int, rng: Rng, n_corners: int | None) -> Array:
    """Radius of the edge in every direction, relative to a circle of the same area."""
    if kind in ("smooth", "irregular"):
        least, waves = (0.05, (2,)) if kind == "smooth" else (0.08, (3, 5, 7))
        heights = (
            column(rng.uniform(least, 0.2, n)) * np.cos(k * angle + column(rng.uniform(0, 6.3, n))) for k in waves
        )
        return 1 + sum(heights)
    if kind == "ring":
        return np.full_like(angle, 1.25)
    corners = column(rng.integers(3, 6, n) if n_corners is None else n_corners, n)
    turn = 2 * np.pi / corners
    within = np.mod(angle, turn) - turn / 2
    if kind == "polygon":
        edge = 1 / np.cos(within)
        return edge / np.sqrt(np.tan(turn / 2) / (turn / 2))
    return 1.45 - 1.0 * np.abs(within) / (turn / 2)  # star


def texture(kind: str, n: int, size: int, rng: Rng, *, scale: float = 1.0) -> Array:
    """Return a texture in a random direction, grain of size `scale`; every pixel is its rank in its image, from -1 to 1."""
    flat = _field(kind, n, size, rng, scale).reshape(n, -1)
    ranks = flat.argsort(axis=1).argsort(axis=1)
    return np.linspace(-1, 1, flat.shape[1], dtype="float32")[ranks].reshape(n, size, size)


def _field(kind: str, n: int, size: int, rng: Rng, scale: float) -> Array:
    noise = partial(smooth_noise, n, size, rng)
    if kind == "rough":
        return noise(0.55 * scale)
    if kind in ("cloud", "plain"):
        return noise(3.5 * scale)
    if kind in ("dots", "nuclei"):
        n_spots, radius = (36, 0.09) if kind == "dots" else (12, 0.2)
        return spots(n, size, rng, round(n_spots / scale), radius * scale) + 0.12 * noise(0.7)
    if kind == "streaks":
        return _streaks(n, size, rng, scale)
    if kind == "rings":
        at = coordinates(n, size, 0.0, tuple(rng.uniform(-0.5, 0.5, (2, n))))
        return np.sin(column(rng.uniform(12, 16, n) / scale) * np.hypot(*at)) + 0.15 * noise(0.7)
    at = coordinates(n, size, rng.uniform(0, np.pi, n))
    rate = column(rng.uniform(11, 16, n) / scale)
    phases = rng.uniform(0, 2 * np.pi, (2, n))
    one, two = (np.sin(rate * axis + column(phase)) for axis, phase in zip(at, phases, strict=True))
    if kind == "checks":
        return np.sign(one * two) + 0.3 * noise(0.7)
    return (np.maximum(one, two) if kind == "mesh" else one) + 0.15 * noise(0.7)  # mesh or grating


def smooth_noise(n: int, size: int, rng: Rng, pixels: float | tuple[float, float]) -> Array:
    """Return Gaussian noise blurred over `pixels` (of 32; down and across), with a standard deviation of 1 per image."""
    sigma = np.broadcast_to(pixels, 2) * size / 32
    field = ndimage.gaussian_filter(rng.standard_normal((n, size, size), dtype="float32"), (0, *sigma), mode="wrap")
    return field / field.std(axis=(1, 2), keepdims=True)


def spots(
    n: int, size: int, rng: Rng, n_spots: int, radius: float, *, kind: str = "smooth", within: float = 1.0
) -> Array:
    """Return small outlines (0 to 1) on a jittered grid, so that they hardly overlap."""
    side = int(np.ceil(np.sqrt(n_spots)))
    cells = rng.permuted(np.tile(np.arange(side**2), (n, 1)), axis=1)[:, :n_spots]
    drawn = np.zeros((n, size, size), "float32")
    for cell in cells.T:
        x, y = ((place + rng.uniform(0.2, 0.8, n)) / side * 2 - 1 for place in (cell % side, cell // side))
        at = coordinates(n, size, 0.0, (within * x, within * y))
        drawn = np.maximum(drawn, outline(kind, at, radius * rng.uniform(0.7, 1.3, n), rng))
    return drawn


def _streaks(n: int, size: int, rng: Rng, scale: float) -> Array:
    """Lines of noise in a random direction: rotates noise that is blurred down its columns."""
    big = 2 * size
    field = smooth_noise(n, big, rng, (4.0 * scale * 16 / 32, 0.35 * scale * 16 / 32))
    at = (coordinates(n, size, rng.uniform(0, np.pi, n)) + 1.5) / 3 * (big - 1)
    pairs = zip(field, at[::-1].swapaxes(0, 1), strict=True)
    return np.stack([ndimage.map_coordinates(image, place, order=1, mode="wrap") for image, place in pairs])


def column(values: Array | float, n: int | None = None) -> Array:
    """Return one value per image (or one for all `n`), float32, shaped to broadcast with (n, size, size)."""
    return np.broadcast_to(np.asarray(values, "float32"), n or len(values))[:, None, None]
