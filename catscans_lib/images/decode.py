"""Image files to small arrays, in this process or in workers. Imports little, because every worker process starts with it."""

import hashlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from catscans_lib.images import pixels
from catscans_lib.images.pixels import Resize

CHUNK = 32  # files per task: 1.2 MB at 112 px, long enough to hide the cost of a task
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
UNREADABLE = "could not be read: "


class Decoded(NamedTuple):
    """A decoded file: its pixels, or None and the problem; SHA-256, mode and size of the file; what was lost.

    Pixels are uint8 (size, size, 3); float32 (size, size) or (size, size, 3) if the file has more than 8 bits.
    """

    pixels: np.ndarray | None
    sha256: str
    problem: str
    mode: str = ""  # L: grey, RGB: colour, P: palette, ...
    size: str = ""  # width x height in pixels
    losses: tuple[str, ...] = ()
    extremes: tuple[float, ...] = ()  # as in `pixels.Picture`
    is_negative: bool = False


def decode_files(
    files: Iterable[Path], size_px: int, n_processes: int = 1, resize: Resize = "squash"
) -> Iterator[Decoded]:
    """Decode files in order, in this process or in workers, which hold at most ``2 * n_processes`` chunks of 32 files."""
    rest = iter(files)
    chunks = iter(lambda: list(islice(rest, CHUNK)), [])
    task = partial(_decode_chunk, size_px=size_px, resize=resize)
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


def resized(images: Iterable[np.ndarray], size_px: int, resize: Resize = "squash") -> Iterator[Decoded]:
    """Resize images in memory, (height, width) or (height, width, 3), to squares; the SHA-256 is that of their pixels."""
    for image in images:
        sha256 = hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()
        try:
            yield _decoded(pixels.of_array(image), sha256, size_px, resize)
        except ValueError as error:
            yield Decoded(None, sha256, f"{UNREADABLE}{error}")


def _end_with_parent() -> None:
    """End this worker when its parent is killed; it would wait for its next task forever."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _decode_chunk(files: list[Path], size_px: int, resize: Resize) -> list[Decoded]:
    return [decode(file, size_px, resize) for file in files]


def decode(file: Path, size_px: int, resize: Resize = "squash") -> Decoded:
    """Decode one file to a square of ``size_px`` x ``size_px``; whatever a decoder raises becomes the problem."""
    sha256 = ""
    try:
        data = file.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if not data:
            raise ValueError("empty file (0 bytes)")
        # Decoding a JPEG straight to the wanted size triples the mean error of the bilinear filter.
        return _decoded(pixels.read(data, 2 * size_px), sha256, size_px, resize)
    except TOO_LARGE:
        problem = f"more than {Image.MAX_IMAGE_PIXELS:,} pixels; shrink it first"
    except UnidentifiedImageError:  # its own message contains a memory address
        problem = "not an image of a known kind"
        if data[:4] in TIFF:
            problem = "a TIFF of an unknown kind (bits, channels, compression); use 8 or 16 bits, or 32-bit floats"
    except Exception as error:  # decoders of damaged files raise any kind; strerror is without the absolute path
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Decoded(None, sha256, UNREADABLE + "".join(one if one.isprintable() else "?" for one in problem))


def _decoded(picture: pixels.Picture, sha256: str, size_px: int, resize: Resize) -> Decoded:
    square, size = pixels.square(picture, size_px, resize), f"{picture.size[0]} x {picture.size[1]}"
    return Decoded(square, sha256, "", picture.mode, size, picture.losses, picture.extremes, picture.is_negative)
