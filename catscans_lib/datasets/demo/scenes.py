"""Images from factors, one function per modality: natural images, textures, lesions, X-rays, stained tissue.

Each function draws `n` images of one class, float32 RGB in 0..1, shape (n, size, size, 3). The label determines `factors`
only; colour, light, place, direction and noise are random in the same way for every class. `look` is common to the images
of a group (patient, lesion, slide), uniform in 0..1, shape (n, 8).
"""

from collections.abc import Callable

import numpy as np

from catscans_lib.datasets.demo import draw
from catscans_lib.datasets.demo.draw import Array, Rng, column

LOOK = 8  # numbers that describe a group
HAEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])  # optical density in red, green, blue


def natural(factors: tuple[str, ...], look: Array, size: int, rng: Rng) -> Array:
    """One or two coloured objects on a cloudy background; factors: outline and texture."""
    n = len(look)
    (shape, *corners), *rest = factors[0].split("="), *factors[1:]
    texture = next((factor for factor in rest if factor not in ("alone", "pair")), "plain")
    grey = 0.5 + 0.25 * (_colours(n, rng) - 0.5)
    ground = _mix(0.8 * grey, 1.2 * grey, draw.texture("cloud", n, size, rng))
    scene = ground + 0.03 * rng.standard_normal(ground.shape, dtype="float32")
    pattern = draw.texture(texture, n, size, rng)
    body = _mix(*_two_colours(n, rng), 1 + 0.2 * (pattern - 1) if texture == "plain" else pattern)
    side = rng.uniform(0, 2 * np.pi, n)
    for turn, (distance, radius) in enumerate([(0.5, 0.4)] * 2 if "pair" in rest else [(0.2, 0.6)]):
        away = side + np.pi * turn
        at = draw.coordinates(n, size, rng.uniform(0, 2 * np.pi, n), (distance * np.cos(away), distance * np.sin(away)))
        n_corners = int(corners[0]) if corners else None
        inside = draw.outline(shape, at, radius * rng.uniform(0.8, 1.2, n), rng, n_corners=n_corners)
        scene = _over(scene, body, inside)
    return scene


def texture(factors: tuple[str, ...], look: Array, size: int, rng: Rng) -> Array:
    """One texture over the whole image, in two colours, lit from one side."""
    n = len(look)
    pattern = draw.texture(factors[0], n, size, rng, scale=rng.uniform(0.85, 1.2))
    light = 1 + 0.2 * draw.coordinates(n, size, rng.uniform(0, 2 * np.pi, n))[0]
    scene = _mix(*_two_colours(n, rng), pattern) * light[..., None]
    return scene + 0.03 * rng.standard_normal(scene.shape, dtype="float32")


def lesion(factors: tuple[str, ...], look: Array, size: int, rng: Rng) -> Array:
    """A brown lesion on skin, with hairs and vignetting; factors: outline and texture."""
    n = len(look)
    skin = np.array([0.93, 0.74, 0.64]) * (0.8 + 0.3 * look[:, :1]) + 0.06 * (look[:, 1:4] - 0.5)
    brown = np.array([0.52, 0.32, 0.23]) * (0.7 + 0.5 * look[:, 4:5]) + 0.08 * (look[:, 5:8] - 0.5)
    dark, light = brown * rng.uniform(0.7, 0.85, (n, 1)), brown * rng.uniform(1.1, 1.25, (n, 1))
    at = draw.coordinates(n, size, rng.uniform(0, 2 * np.pi, n), tuple(rng.uniform(-0.15, 0.15, (2, n))))
    inside = draw.outline(factors[0], at, rng.uniform(0.5, 0.75, n), rng)
    body = _mix(dark, light, draw.texture(factors[1], n, size, rng))
    ground = np.broadcast_to(skin[:, None, None, :], body.shape).astype("float32")
    scene = _over(ground + 0.03 * draw.smooth_noise(n, size, rng, 1.0)[..., None], body, inside)
    for _ in range(2):
        shown = (rng.random(n) < 0.3)[:, None, None]
        scene = _over(scene, np.full_like(scene, 0.15), 0.8 * shown * _hair(n, size, rng))
    vignette = 1 - 0.25 * rng.uniform(0, 1, (n, 1, 1)) * np.hypot(*draw.coordinates(n, size)) ** 2
    return scene * vignette[..., None] + 0.015 * rng.standard_normal(scene.shape, dtype="float32")


def xray(factors: tuple[str, ...], look: Array, size: int, rng: Rng) -> Array:
    """Two dark lungs, ribs and a heart in the pose of the patient; one lung has a finding, equally bright in both classes."""
    n = len(look)
    tilt, wide = 0.2 * (look[:, 0] - 0.5), 0.34 + 0.08 * look[:, 1]
    x, y = draw.coordinates(n, size, tilt, (0.15 * (look[:, 2] - 0.5), 0.2 * (look[:, 3] - 0.5)))
    body = 0.62 + 0.1 * draw.smooth_noise(n, size, rng, 5.0) - 0.25 * np.abs(x)
    depths = (1 - np.hypot((x - side * 0.45) / column(wide), (y + 0.02) / 0.72) for side in (-1, 1))
    left, right = (draw.soft(0.4 * depth, size) for depth in depths)
    lungs = np.maximum(left, right)
    rib = np.sin(column(9 + 5 * look[:, 4]) * (y + 0.35 * x**2) + column(6.3 * look[:, 5]))
    heart = draw.soft(0.3 - np.hypot((x - 0.14) / 0.9, (y - 0.3) / 1.1), size)
    spine = draw.soft(0.1 - np.abs(x), size)
    scene = body - 0.42 * lungs + 0.06 * lungs * rib + 0.12 * np.maximum(heart, spine) * (1 - 0.4 * lungs)
    affected = np.where(column(rng.random(n)) < 0.5, left, right)
    finding = _finding(factors, n, size, rng) * affected * (1 - heart)
    strength = rng.uniform(3.0, 6.0, n) / np.maximum(finding.sum(axis=(1, 2)), 1e-3)
    scene = scene + column(strength) * finding * (size / 32) ** 2
    scene = column(rng.uniform(0.8, 1.2, n)) * (scene - 0.5) + column(0.5 + rng.uniform(-0.08, 0.08, n))
    return np.repeat((scene + 0.02 * rng.standard_normal(scene.shape, dtype="float32"))[..., None], 3, axis=3)


def tissue(factors: tuple[str, ...], look: Array, size: int, rng: Rng) -> Array:
    """Nuclei in pink tissue with the stain of the slide; the centre shows the class, the surroundings either kind."""
    n = len(look)
    centre = _nuclei("nuclei" in factors, n, size, rng, within=0.45)
    kinds = (_nuclei(large, n, size, rng, within=1.0) for large in (False, True))
    around = np.where(column(rng.random(n)) < 0.5, *kinds)
    ring = draw.soft(np.hypot(*draw.coordinates(n, size)) - 0.52, size)
    return _stained(np.maximum(centre, around * ring), look, rng)


def tissue_texture(factors: tuple[str, ...], look: Array, size: int, rng: Rng) -> Array:
    """Tissue of one texture over the whole image, with one of four amounts of nuclear stain."""
    n = len(look)
    amount = 0.3 + 0.25 * int(factors[1].partition("=")[2])
    pattern = (draw.texture(factors[0], n, size, rng) + 1) / 2
    return _stained(amount * pattern, look, rng)


SCENES: dict[str, Callable[[tuple[str, ...], Array, int, Rng], Array]] = {
    "imagenet": natural,
    "stl10": natural,
    "sti10": natural,
    "dtd": texture,
    "isic2018": lesion,
    "chest": xray,
    "pcam_middle": tissue,
    "pcam_small": tissue,
    "kimia960": tissue_texture,
}


def _finding(factors: tuple[str, ...], n: int, size: int, rng: Rng) -> Array:
    """Sharp vessels, or an opacity: a smooth blob in half of the images, a rough patch in the others."""
    if "dots" in factors:
        return draw.spots(n, size, rng, 36, 0.07)
    centre = rng.uniform(-0.5, 0.5, n), rng.uniform(-0.45, 0.35, n)
    distance = np.hypot(*draw.coordinates(n, size, 0.0, (np.where(centre[0] < 0, -0.42, 0.42), centre[1])))
    blob = np.exp(-((distance / 0.42) ** 2))
    rough = blob * (1 + draw.texture("rough", n, size, rng))
    return np.where(column(rng.random(n)) < 0.5, blob, rough)


def _nuclei(large: bool, n: int, size: int, rng: Rng, *, within: float) -> Array:
    """Few large irregular nuclei, or many small round ones of about the same total area."""
    n_spots, radius, kind = (4, 0.17, "irregular") if large else (9, 0.113, "smooth")
    return draw.spots(n, size, rng, round(n_spots * (within / 0.45) ** 2), radius, kind=kind, within=within)


def _stained(nuclei: Array, look: Array, rng: Rng) -> Array:
    """Haematoxylin in the nuclei, eosin elsewhere; absorption follows the Beer-Lambert law."""
    n, size = nuclei.shape[:2]
    vectors = [stain * (1 + 0.2 * (look[:, k : k + 3] - 0.5)) for stain, k in ((HAEMATOXYLIN, 0), (EOSIN, 3))]
    amounts = 0.8 + 0.5 * look[:, 6], 0.3 + 0.3 * look[:, 7]
    pink = 0.6 + 0.25 * draw.smooth_noise(n, size, rng, 2.0)
    fields = nuclei * rng.uniform(0.2, 0.5, (n, 1, 1)), np.clip(pink, 0, None) * (1 - 0.7 * np.clip(nuclei, 0, 1))
    density = sum(
        (column(amount) * field)[..., None] * vector[:, None, None, :]
        for amount, field, vector in zip(amounts, fields, vectors, strict=True)
    )
    light = 0.96 * np.exp(-density)
    return light + 0.05 * rng.standard_normal(light.shape, dtype="float32")


def _hair(n: int, size: int, rng: Rng) -> Array:
    x, y = draw.coordinates(n, size, rng.uniform(0, np.pi, n), tuple(rng.uniform(-0.6, 0.6, (2, n))))
    return draw.soft(0.025 - np.abs(y + column(rng.uniform(-0.4, 0.4, n)) * x**2), size)


def _colours(n: int, rng: Rng) -> Array:
    return rng.uniform(0.05, 0.95, (n, 3)).astype("float32")


def _two_colours(n: int, rng: Rng) -> tuple[Array, Array]:
    """A dark and a light colour per image, in random order."""
    dark, light = 0.45 * _colours(n, rng), 1 - 0.45 * _colours(n, rng)
    swapped = rng.random((n, 1)) < 0.5
    return np.where(swapped, light, dark), np.where(swapped, dark, light)


def _mix(one: Array, two: Array, pattern: Array) -> Array:
    """Blend two colours per image, shape (n, 3), by a pattern in -1..1."""
    share = ((pattern + 1) / 2)[..., None]
    return one[:, None, None, :] * (1 - share) + two[:, None, None, :] * share


def _over(below: Array, above: Array, mask: Array) -> Array:
    return below + (above - below) * mask[..., None]
