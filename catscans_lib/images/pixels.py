"""From the bytes of an image file to a picture: 8-bit RGB, or values with more bits, which `ranges` scales later."""

import io
import warnings
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from catscans_lib.images import dicom

Resize = Literal["squash", "crop", "pad"]  # to a square: distort it, cut off the longer side, or add black bars
_T = Image.Transpose
UPRIGHT = dict(enumerate((_T.FLIP_LEFT_RIGHT, _T.ROTATE_180, _T.FLIP_TOP_BOTTOM, _T.TRANSPOSE), start=2))
UPRIGHT |= dict(enumerate((_T.ROTATE_270, _T.TRANSVERSE, _T.ROTATE_90), start=6))
PNG = b"\x89PNG\r\n\x1a\n"
UNUSED = (b"iCCP", b"iTXt", b"tEXt", b"zTXt")  # colour profile and texts of a PNG; Pillow refuses large ones
WHITE_IS_ZERO = 0  # value of the TIFF tag PhotometricInterpretation
# What is lost although the image is read.
TURNED = "turned upright, as their EXIF data say"
TRANSPARENT = "transparent pixels became white"
NO_VALUE = "pixels without a value (not finite, or DICOM padding) became the smallest value"
NOTES = (TURNED, dicom.CUT)  # usual: counted for the dataset, not a loss of an image


class Picture(NamedTuple):
    """A picture: one RGB image, or as many float images as it has channels (1 or 3), to be scaled."""

    layers: list[Image.Image]
    mode: str  # of the file: L: grey, RGB: colour, P: palette, ...
    size: tuple[int, int]  # width and height of the file
    losses: tuple[str, ...] = ()
    extremes: tuple[float, ...] = ()  # of float images: smallest value, 0.1 % and 99.9 % quantile, largest value
    is_negative: bool = False  # float images in which small values are bright


def read(data: bytes, draft_px: int | None = None) -> Picture:
    """Decode an image file, a large JPEG at a fraction of its size, at least at `draft_px`; damaged files raise any exception."""
    try:
        return _read(data, draft_px)
    except ValueError:
        if not data.startswith(PNG):
            raise
        return _read(_without_unused(data), draft_px)


def _read(data: bytes, draft_px: int | None) -> Picture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as damaged EXIF in a file with good pixels
        if dicom.is_dicom(data):
            values, facts = dicom.read(data)
            picture = of_array(values)
            return picture._replace(**facts | {"losses": picture.losses + facts["losses"]})
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data)) as image:
            mode, size, losses = image.mode, image.size, []
            # DCT scaling: libjpeg decodes at 1/2, 1/4 or 1/8 of the size.
            if draft_px:
                image.draft("RGB", (draft_px, draft_px))
            tiles = [tile.args for tile in image.tile if tile.args]
            raw_modes = {args if isinstance(args, str) else str(args[0]) for args in tiles}
            was_turned = _orientation(image) is not None  # loads a PNG
            image.load()  # turns a TIFF upright
            bits = image.tag_v2.get(258, 8) if image.format == "TIFF" else 8
            if mode[0] in "IF" or np.max(bits) > 8 or any(name[-4:-1] == ";16" for name in raw_modes):
                is_negative = image.format == "TIFF" and image.tag_v2.get(262) == WHITE_IS_ZERO
                picture = _of_values(_values(image, raw_modes), is_negative)
            else:
                picture = Picture([_to_rgb(image, losses)], mode, size)
            turn = UPRIGHT.get(_orientation(image))
            losses += [TURNED] if was_turned else []
            losses += _pages(image)
    layers = [layer.transpose(turn) for layer in picture.layers] if turn is not None else picture.layers
    return picture._replace(layers=layers, mode=mode, size=size, losses=(*picture.losses, *losses))


def of_array(image: np.ndarray) -> Picture:
    """Return the picture of an array (height, width) or (height, width, 3): uint8, or any numbers."""
    size, mode = (image.shape[1], image.shape[0]), "RGB" if image.ndim == 3 else "L"
    if image.dtype == np.uint8:
        return Picture([Image.fromarray(np.ascontiguousarray(image)).convert("RGB")], mode, size)
    return _of_values(image, False)._replace(mode=f"{mode} {image.dtype}", size=size)


def square(picture: Picture, size_px: int, resize: Resize = "squash") -> np.ndarray:
    """Return a picture as a square: uint8 (size, size, 3), or float32 (size, size) or (size, size, 3), NaN in added bars."""
    bars = np.nan if picture.layers[0].mode == "F" else 0
    how = {"squash": Image.Image.resize, "crop": ImageOps.fit, "pad": partial(ImageOps.pad, color=bars)}
    found = [np.asarray(how[resize](layer, (size_px, size_px), Image.Resampling.BILINEAR)) for layer in picture.layers]
    return found[0] if len(found) == 1 else np.stack(found, axis=-1)


def _without_unused(png: bytes) -> bytes:
    """Return a PNG without texts and colour profile."""
    kept, at = [PNG], len(PNG)
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4])  # length, kind, data, checksum
        if png[at + 4 : at + 8] not in UNUSED:
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


def _orientation(image: Image.Image) -> int | None:
    """Return the turn that the EXIF data ask for, a key of `UPRIGHT`; None without one, or if they are damaged."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # the pixels may be fine
        return None
    return found if isinstance(found, int) and found in UPRIGHT else None


def _pages(image: Image.Image) -> list[str]:
    try:
        n = getattr(image, "n_frames", 1)
    except Exception:  # a damaged second page
        n = "several"
    return [dicom.PAGES.format(n=n)] if n != 1 else []


def _values(image: Image.Image, raw_modes: set[str]) -> np.ndarray:
    """Return the values of a grey image with more than 8 bits, float64 (height, width)."""
    if image.mode[0] not in "IF":
        raise ValueError(f"colours of more than 8 bits ({', '.join(sorted(raw_modes))}); save the image with 8 bits")
    values = np.asarray(image).astype(float)
    if "I;32N" in raw_modes and values.min() < 0:  # Pillow reads unsigned numbers as signed ones
        values[values < 0] += 2**32
    return values


def _of_values(values: np.ndarray, is_negative: bool) -> Picture:
    is_valid = np.abs(values) < 1e30  # False for NaN, infinite values and the largest number, which stands for none
    if not is_valid.any():
        raise ValueError("no pixel has a finite value")
    losses = () if is_valid.all() else (NO_VALUE,)
    if losses:
        values = np.where(is_valid, values, values[is_valid].min())
    values = values.astype(np.float32)
    some = values.ravel()[:: max(1, values.size // 100_000)]
    extremes = (values.min(), *np.quantile(some, (0.001, 0.999)), values.max())
    channels = [values] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    layers = [Image.fromarray(np.ascontiguousarray(channel)) for channel in channels]
    return Picture(layers, "", (0, 0), losses, tuple(map(float, extremes)), is_negative)


def _to_rgb(image: Image.Image, losses: list[str]) -> Image.Image:
    """Return an 8-bit image as RGB, with transparent pixels white."""
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        losses += [TRANSPARENT] if layer.getchannel("A").getextrema()[0] < 255 else []
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")
