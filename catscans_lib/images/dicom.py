"""The first frame of a DICOM file, with its rescaling and its window; needs the package pydicom."""

import io
from typing import Any

import numpy as np
from PIL import Image

PAGES = "only the first of {n} pages or frames is used; save the others as files of their own"
CUT = "values outside of the window that the DICOM file states are cut off"


def is_dicom(data: bytes) -> bool:
    """Return whether a file of any name begins as DICOM files do."""
    return data[128:132] == b"DICM"


def read(data: bytes) -> tuple[np.ndarray, dict[str, Any]]:
    """Decode a DICOM file; ValueError without pydicom, other exceptions if the file is damaged or has no image.

    Returns the first frame, (height, width) or (height, width, 3), uint8 if the file has a window or 8-bit colours, else floats
    that the dataset scales; and mode, losses and is_negative as in `pixels.Picture`.
    """
    try:
        import pydicom
        from pydicom import pixels
    except ImportError:
        raise ValueError("a DICOM file needs pydicom; install it: .venv/bin/pip install pydicom") from None
    file = pydicom.dcmread(io.BytesIO(data))
    if lacking := [name for name in ("Rows", "Columns", "PhotometricInterpretation") if name not in file]:
        raise ValueError(f"a DICOM file without {' and '.join(lacking)}, so without an image")
    if file.Rows * file.Columns > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError
    # files of several frames have rescaling and window in groups, for all frames and for each
    groups = [file.get(name) or [] for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")]
    for group in (found[0] for found in groups if found):
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in group.get(name) or []:
                file.update(item)
    values = pixels.pixel_array(file, index=0)
    n, facts = int(file.get("NumberOfFrames") or 1), {"mode": file.PhotometricInterpretation, "is_negative": False}
    facts["losses"] = (PAGES.format(n=n),) if n > 1 else ()
    if facts["mode"] == "PALETTE COLOR":
        values = pixels.apply_color_lut(values, file)
    if values.ndim == 3:
        is_deep = values.dtype.itemsize > 1 and values.max() > 255
        return values.astype(float if is_deep else np.uint8), facts
    padding = values == file.get("PixelPaddingValue")
    values = pixels.apply_modality_lut(values, file)
    is_negative = facts["mode"] == "MONOCHROME1"
    window = [_first(file.get(name)) for name in ("WindowCenter", "WindowWidth")]
    if None in window or window[1] <= 0:
        has_table = bool(file.get("VOILUTSequence"))
        values = pixels.apply_voi(values.round().astype(int), file) if has_table else values
        return np.where(padding, np.nan, values), facts | {"is_negative": is_negative}
    centre, width = window
    share = (values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5  # DICOM PS3.3 C.11.2.1.2.1
    facts["losses"] += (CUT,) if (share < 0).any() or (share > 1).any() else ()
    share = np.clip(1 - share if is_negative else share, 0, 1)
    return (share * 255).round().astype(np.uint8), facts


def _first(value: Any) -> float | None:
    """Return a number of the file, or the first of several; None if it is missing or empty."""
    numbers = np.ravel([] if value in (None, "") else value).astype(float)
    return numbers[0] if len(numbers) else None
