"""Random changes of training images: drawn on the host for every image and epoch, applied to uint8 images in the training step.

`changes` turns uniform numbers into small arrays, one row per image; `apply` is the same computation on every backend and
device. What an image becomes depends on the seed, the epoch and its row in the store alone.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.special import betaincinv

from catscans_lib.training import Augmentation

# Optical densities (red, green, blue) of haematoxylin, eosin and DAB; Ruifrok and Johnston (2001).
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
COLUMNS = (
    "mirror", "flip", "quarter", "angle", "zoom", "right", "down", "brightness", "contrast", "h", "e", "d", "plus_h", "plus_e",
    "plus_d", "erases", "area", "aspect", "left", "top", "mixup",
)  # fmt: skip
ERASED, ASPECT = (0.02, 0.4), (0.3, 1 / 0.3)  # share of the image, height / width; Zhong et al. (2020)


def draws(seed: int, epoch: int, n_images: int) -> np.ndarray:
    """Return uniform numbers in [0, 1), float32, shape (n_images, n_columns); a row does not depend on how many follow."""
    return np.random.default_rng([seed, epoch, 1]).random((n_images, len(COLUMNS)), "float32")


def changes(how: Augmentation, mixup: float | None, drawn: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Return what `apply` does to square images of `size` pixels, one row per row of `drawn`; absent keys do nothing."""
    u = dict(zip(COLUMNS, drawn.T.astype("float64"), strict=True))
    found = _geometry(how, u, size)
    if how.stain:
        jitter = [_between(-how.stain, how.stain, u[prefix + name]) for prefix in ("", "plus_") for name in "hed"]
        factors, shifts = np.stack(jitter[:3], axis=1), np.stack(jitter[3:], axis=1)
        # density @ inverse is the amount of each stain; it is multiplied and shifted, and becomes a density again,
        # which is -log((value + 1) / 256): `offset` collects what does not depend on the value
        mixed = np.einsum("ij,nj,jk->nik", np.linalg.inv(STAINS), 1 + factors, STAINS)
        offset = np.log(256) * (1 - mixed.sum(axis=1)) - shifts @ STAINS
        found["stain"] = np.concatenate([mixed, offset[:, None]], axis=1)
    if how.brightness or how.contrast:
        light = 255 * _between(-how.brightness, how.brightness, u["brightness"])
        found["light"] = np.stack([light, _between(1 - how.contrast, 1 + how.contrast, u["contrast"])], axis=1)
    if how.erasing:  # top, bottom, left and right (pixels) of what is erased; bottom = top where nothing is
        area, aspect = _between(*ERASED, u["area"]) * size**2, np.exp(_between(*np.log(ASPECT), u["aspect"]))
        height, width = (np.clip(np.rint(np.sqrt(one)), 1, size) for one in (area * aspect, area / aspect))
        height *= u["erases"] < how.erasing
        top, left = np.floor(u["top"] * (size - height + 1)), np.floor(u["left"] * (size - width + 1))
        found["erased"] = np.stack([top, top + height, left, left + width], axis=1)
    if mixup:
        found["mixup"] = betaincinv(mixup, mixup, u["mixup"])
    return {key: value.astype("int32" if key == "turn" else "float32") for key, value in found.items()}


def _between(low: float, high: float, uniform: np.ndarray) -> np.ndarray:
    return low + (high - low) * uniform


def _geometry(how: Augmentation, u: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Return the mirrors and quarter turns of the images, or one affine map from a pixel to where it is read.

    Pixel p = (x, y) is read at centre + R(angle) / zoom * T * M * (p - centre) + shift; T swaps x and y, M changes their signs.
    """
    quarter = (4 * u["quarter"]).astype(int) * how.quarter_turns
    mirror = (how.horizontal_flip & (u["mirror"] < 0.5)) ^ np.isin(quarter, (1, 2))
    flip = (how.vertical_flip & (u["flip"] < 0.5)) ^ (quarter >= 2)
    swap = quarter % 2 == 1
    if not (how.rotation_deg or how.shift or how.zoom):  # no interpolation: small networks train 1.1 times as fast
        turns = how.quarter_turns or how.horizontal_flip or how.vertical_flip
        return {"turn": swap * 4 + flip * 2 + mirror} if turns else {}
    angle = np.deg2rad(_between(-how.rotation_deg, how.rotation_deg, u["angle"]))
    zoom = _between(1 - how.zoom, 1 + how.zoom, u["zoom"])
    signs = np.where(np.stack([mirror, flip], axis=1), -1.0, 1.0)[:, None, :]
    turned = np.where(swap[:, None, None], np.eye(2)[::-1], np.eye(2)) * signs
    rotated = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    matrix = rotated @ turned / zoom[:, None, None]
    shift = size * _between(-how.shift, how.shift, np.stack([u["right"], u["down"]], axis=1))
    centre = np.full(2, (size - 1) / 2)
    offset = centre - matrix @ centre + shift
    return {"affine": np.concatenate([matrix, offset[:, :, None]], axis=2).reshape(-1, 6)}


def apply(images: Any, how: dict[str, Any]) -> Any:
    """Return changed images, float32 in 0..255, (n, size, size, 3); `images` are uint8, `how` comes from `changes`."""
    images = _turned(images, how["turn"]) if "turn" in how else images
    images = _resampled(images, how["affine"]) if "affine" in how else ops.cast(images, "float32")
    images = _restained(images, how["stain"]) if "stain" in how else images
    if "light" in how:
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        light = how["light"][:, :, None, None, None]
        images = mean + (images - mean) * light[:, 1] + light[:, 0]
    if "stain" in how or "light" in how:
        images = ops.clip(images, 0, 255)
    if "erased" in how:  # a rectangle becomes the mean colour of the image
        edges, at = how["erased"], ops.arange(images.shape[1], dtype="float32")[None]
        rows, columns = (ops.logical_and(at >= edges[:, k, None], at < edges[:, k + 1, None]) for k in (0, 2))
        mask = ops.logical_and(rows[:, :, None], columns[:, None, :])[..., None]
        images = ops.where(mask, ops.mean(images, axis=(1, 2), keepdims=True), images)
    return images


def _turned(images: Any, turn: Any) -> Any:
    """Swap x and y (4), then mirror the rows (2) and the columns (1): one gather, 4.5 times as fast as three choices."""
    size = images.shape[1]
    grids = [np.arange(size**2).reshape(size, size), np.arange(size**2).reshape(size, size).T]
    read = np.stack([grids[k // 4][:: 1 - (k & 2), :: 1 - 2 * (k & 1)].ravel() for k in range(8)]).astype("int32")
    at = ops.take(ops.convert_to_tensor(read), turn, axis=0) + ops.arange(ops.shape(images)[0])[:, None] * size**2
    return ops.reshape(ops.take(ops.reshape(images, (-1, 3)), at, axis=0), (-1, size, size, 3))


def _restained(images: Any, stain: Any) -> Any:
    """Mix the logarithms of the colours; planes of one colour are 1.7 times as fast as pixels.

    No matrix product: GPUs round its factors to 11 bits.
    """
    size = images.shape[1]
    logs = ops.transpose(ops.reshape(ops.log(images + 1), (-1, size**2, 3)), (0, 2, 1))
    red, green, blue = (logs[:, k] for k in range(3))
    m = stain[..., None]
    mixed = [red * m[:, 0, k] + green * m[:, 1, k] + blue * m[:, 2, k] + m[:, 3, k] for k in range(3)]
    pixels = ops.transpose(ops.exp(ops.stack(mixed, axis=1)), (0, 2, 1)) - 1
    return ops.reshape(pixels, (-1, size, size, 3))


def _resampled(images: Any, affine: Any) -> Any:
    """Read every pixel where `affine` says, bilinearly; edges are repeated."""
    if keras.backend.backend() == "tensorflow":  # one pass; 1.7 times as fast as the gathers below
        transform = ops.concatenate([affine, ops.zeros_like(affine[:, :2])], axis=1)
        return ops.image.affine_transform(ops.cast(images, "float32"), transform, "bilinear", "nearest")
    size, channels = images.shape[1], images.shape[3]
    at, six = ops.arange(size, dtype="float32"), [affine[:, k, None, None] for k in range(6)]
    x, y = (ops.clip(a * at + b * at[:, None] + c, 0, size - 1) for a, b, c in (six[:3], six[3:]))
    left, top = (ops.minimum(ops.floor(one), size - 2) for one in (x, y))
    part_x, part_y = (x - left)[..., None], (y - top)[..., None]
    first = ops.arange(ops.shape(images)[0])[:, None, None] * size**2
    corner = first + ops.cast(top * size + left, "int32")
    flat = ops.reshape(images, (-1, channels))
    read = [ops.cast(ops.take(flat, corner + step, axis=0), "float32") for step in (0, 1, size, size + 1)]
    upper, lower = (one + (other - one) * part_x for one, other in (read[:2], read[2:]))
    return upper + (lower - upper) * part_y


def mixed(images: Any, labels: Any, weights: Any | None, share: Any) -> tuple[Any, Any, Any]:
    """Return every image and label mixed with the one before it in the batch by `share` (n,), and the weight of the pair."""
    weights = ops.ones_like(share) if weights is None else weights
    of = share[:, None] if len(weights.shape) == 2 else share  # findings of an image have a weight each
    own, other = of * weights, (1 - of) * ops.roll(weights, 1, axis=0)
    part = own / (own + other)
    part = part[:, None] if len(part.shape) < len(labels.shape) else part
    labels = part * labels + (1 - part) * ops.roll(labels, 1, axis=0)
    of_image = share[:, None, None, None]
    images = of_image * images + (1 - of_image) * ops.roll(images, 1, axis=0)
    return images, labels, own + other


def in_training_step(model: keras.Model, mixup: float | None) -> None:
    """Make a compiled model change the images in its training step; prediction and evaluation stay as they are."""
    plain, metrics, change = model.train_step, model.compute_metrics, apply
    if keras.backend.backend() == "jax":  # on CPUs the step itself is not compiled
        import jax

        change = jax.jit(apply)

    def train_step(*given: Any) -> Any:  # of TensorFlow: the batch; of JAX: the state and the batch
        *state, (images, *rest) = given
        if isinstance(images, dict):
            how = dict(images)
            images = change(how.pop("image"), how)
            if "mixup" in how:
                images, *rest = mixed(images, rest[0], rest[1] if len(rest) > 1 else None, how["mixup"])
        return plain(*state, (images, *rest))

    model.train_step = train_step
    if mixup:  # labels are shares: the larger one counts
        model.compute_metrics = lambda x, y, *rest, **more: metrics(x, ops.round(y), *rest, **more)
