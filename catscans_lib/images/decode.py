"""Image files to small RGB arrays. Imports little, because every worker process starts with it."""

import hashlib
import io
import multiprocessing
import os
import struct
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

CHUNK = 32  # files per task: 1.2 MB at 112 px, long enough to hide the cost of a task
_T = Image.Transpose
UPRIGHT = dict(enumerate((_T.FLIP_LEFT_RIGHT, _T.ROTATE_180, _T.FLIP_TOP_BOTTOM, _T.TRANSPOSE), start=2))
UPRIGHT |= dict(enumerate((_T.ROTATE_270, _T.TRANSVERSE, _T.ROTATE_90), start=6))
# What Pillow raises on damaged files; any other exception is a bug here and must surface.
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, NotImplementedError, struct.error)
TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


class Slice(NamedTuple):
    """An image inside a larger file: the file, its first byte and its length in bytes."""

    path: Path
    start: int
    length: int


class Decoded(NamedTuple):
    """A decoded file: pixels uint8 (size, size, 3), or None and the problem; SHA-256, Pillow mode and size of the file."""

    pixels: np.ndarray | None
    sha256: str
    problem: str
    mode: str = ""  # L: grey, RGB: colour, P: palette, ...
    size: str = ""  # width x height in pixels


def decode_files(files: Iterable[Path | Slice], size_px: int, n_processes: int = 1) -> Iterator[Decoded]:
    """Decode files in order, in this process or in workers, which hold at most ``2 * n_processes`` chunks of 32 files."""
    rest = iter(files)
    chunks = iter(lambda: list(islice(rest, CHUNK)), [])
    task = partial(_decode_chunk, size_px=size_px)
    if n_processes == 1:
        for chunk in chunks:
            yield from task(chunk)
        return
    # spawn: a fork would copy the threads and locks of TensorFlow or of a notebook kernel
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, mp_context=spawn, initializer=_end_with_parent) as pool:
        pending = deque()
        for chunk in chunks:
            pending.append(pool.submit(task, chunk))
            if len(pending) == 2 * n_processes:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def resized(images: Iterable[np.ndarray], size_px: int) -> Iterator[Decoded]:
    """Resize images in memory, uint8 (height, width, 3), to ``size_px``; the SHA-256 is that of their pixels."""
    for pixels in images:
        pixels = np.ascontiguousarray(pixels)
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        sha256 = hashlib.sha256(pixels.data).hexdigest()
        if pixels.shape[:2] != (size_px, size_px):
            pixels = np.asarray(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BILINEAR))
        yield Decoded(pixels, sha256, "", "RGB", size)


def _end_with_parent() -> None:
    """End this worker when its parent is killed; it would wait for its next task forever."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _decode_chunk(files: list[Path | Slice], size_px: int) -> list[Decoded]:
    return [decode(file, size_px) for file in files]


def read_bytes(file: Path | Slice) -> bytes:
    """Return the bytes of an image."""
    if isinstance(file, Path):
        return file.read_bytes()
    with file.path.open("rb") as whole:
        whole.seek(file.start)
        return whole.read(file.length)


def decode(file: Path | Slice, size_px: int) -> Decoded:
    """Decode one file to RGB and squeeze it to ``size_px`` x ``size_px``, as the study did."""
    sha256 = ""
    try:
        data = read_bytes(file)
        sha256 = hashlib.sha256(data).hexdigest()
        if not data:
            return Decoded(None, sha256, "empty file (0 bytes)")
        pixels, mode, (width, height) = _pixels(data, size_px)
        return Decoded(pixels, sha256, "", mode, f"{width} x {height}")
    except TOO_LARGE:
        return Decoded(None, sha256, f"more than {Image.MAX_IMAGE_PIXELS:,} pixels; shrink it first")
    except UnidentifiedImageError:  # its own message contains a memory address
        return Decoded(None, sha256, "not a readable image")
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error)  # without the absolute path
        return Decoded(None, sha256, f"cannot be decoded: {reason}")


def scaling_difference(file: Path | Slice, size_px: int) -> float:
    """Return the mean absolute difference (of 255) to the same image decoded at full size first; 0 unless it is a JPEG."""
    data = read_bytes(file)
    fast, full = (_pixels(data, size_px, scaled=scaled)[0].astype(float) for scaled in (True, False))
    return float(np.abs(fast - full).mean())


def _pixels(data: bytes, size_px: int, *, scaled: bool = True) -> tuple[np.ndarray, str, tuple[int, int]]:
    """Pixels at the wanted size; mode and size of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as damaged EXIF in a file with good pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data)) as image:
            mode, size = image.mode, image.size
            # DCT scaling: libjpeg decodes at 1/2, 1/4 or 1/8 of the size, here never below twice the wanted size:
            # decoding straight to the wanted size triples the mean error of the bilinear filter.
            if scaled:
                image.draft("RGB", (2 * size_px, 2 * size_px))
            orientation = image.getexif().get(ExifTags.Base.Orientation)
            image.load()
            rgb = _to_rgb(image)
    if orientation in UPRIGHT:
        rgb = rgb.transpose(UPRIGHT[orientation])
    return np.asarray(rgb.resize((size_px, size_px), Image.Resampling.BILINEAR)), mode, size


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit RGB: 16-bit grey is divided by 256, transparent pixels become white."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError(f"grey values {grey.min()} to {grey.max()}; known are 8 and 16 bits")
        image = Image.fromarray((grey // 256).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")
