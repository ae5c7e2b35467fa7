"""Files of every kind that the decoder knows, written byte by byte where Pillow cannot write them."""

import io
import struct
import zlib

import numpy as np
import pytest
from fixtures import picture
from PIL import Image, PngImagePlugin

pydicom = pytest.importorskip("pydicom", reason="an extra of the library, and a part of the lock file")

RAMP = np.arange(0, 4096, 16).reshape(16, 16)  # 12-bit values, 0 to 4080


def saved(image, form, **options):
    """The bytes of an image in a format of Pillow."""
    data = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(data, form, **options)
    return data.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_16(values):
    """A 16-bit PNG of (height, width, channels): 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(values, photometric=1, sample_format=1, order="<", compressed=False, planar=False):
    """A TIFF of (height, width) or (height, width, 3) in one strip."""
    height, width, channels = values.shape if values.ndim == 3 else (*values.shape, 1)
    data, bits = values.astype(values.dtype.newbyteorder(order)).tobytes(), 8 * values.dtype.itemsize
    data = zlib.compress(data) if compressed else data
    many = 8 + len(data)  # where the bits of three channels lie
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits if channels == 1 else many),
        (259, 3, 1, 8 if compressed else 1), (262, 3, 1, 2 if channels == 3 else photometric), (273, 4, 1, 8),
        (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(data)), (284, 3, 1, 1 + planar), (339, 3, 1, sample_format),
    ]  # fmt: skip
    mark = b"II*\0" if order == "<" else b"MM\0*"
    found = mark + struct.pack(f"{order}I", many + 6) + data + struct.pack(f"{order}3H", bits, bits, bits)
    found += struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        packed = struct.pack(f"{order}HH", value, 0) if (kind, count) == (3, 1) else struct.pack(f"{order}I", value)
        found += struct.pack(f"{order}HHI", tag, kind, count) + packed
    return found + bytes(4)


def dicom(values, **tags):
    """A DICOM file of (height, width), (height, width, 3) or (frames, height, width), uint8 or (u)int16."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    is_colour = values.ndim == 3 and values.shape[-1] == 3
    file.SamplesPerPixel = 3 if is_colour else 1
    file.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
    if is_colour:
        file.PlanarConfiguration = 0
    if values.ndim == 3 and not is_colour:
        file.NumberOfFrames = len(values)
    file.Rows, file.Columns = values.shape[:2] if is_colour else values.shape[-2:]
    file.BitsAllocated = file.BitsStored = 8 * values.dtype.itemsize
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(values.dtype.kind == "i")
    file.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(file, name, value)
    data = io.BytesIO()
    file.save_as(data, enforce_file_format=True)
    return data.getvalue()


def voi_table(values):
    """The tag of a table of grey values that replaces a window."""
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [len(values), 0, 16], [int(value) for value in values]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return {"VOILUTSequence": [item]}


def frame_groups(**tags):
    """The tags of an enhanced file: rescaling for all frames, a window for each."""
    shared, frame, window, rescaling = (pydicom.Dataset() for _ in range(4))
    window.WindowCenter, window.WindowWidth = "1000", "500"
    rescaling.RescaleSlope, rescaling.RescaleIntercept = "2", "-100"
    shared.PixelValueTransformationSequence, frame.FrameVOILUTSequence = [rescaling], [window]
    return {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": [frame, frame]} | tags


def text_of(n_bytes):
    """The texts of a PNG with one compressed text so long."""
    info = PngImagePlugin.PngInfo()
    info.add_text("history", "x" * n_bytes, zip=True)
    return info


def every_kind():
    """A small good file of every kind, by name."""
    image, grey = picture(0), picture(0).convert("L")
    noise = np.random.default_rng(0).integers(0, 4096, (24, 20), dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {form: saved(image, form) for form in ("BMP", "JPEG2000", "PPM", "PNG", "WEBP", "TIFF", "GIF")}
    found |= {f"tiff {how}": saved(image, "TIFF", compression=how) for how in ("tiff_lzw", "jpeg", "tiff_deflate")}
    found |= {"jpeg exif": saved(image, "JPEG", exif=exif), "jpeg grey": saved(grey, "JPEG")}
    found |= {
        f"pages {form}": saved(picture(0), form, save_all=True, append_images=[picture(1)])
        for form in ("TIFF", "GIF", "PNG")
    }
    found |= {
        "pgm": saved(noise, "PPM"),
        "png 16": saved(noise, "PNG"),
        "png text": saved(image, "PNG", pnginfo=text_of(99)),
    }
    found |= {"colour png 16": png_16(np.stack([noise] * 3, -1)), "alpha png 16": png_16(np.stack([noise] * 2, -1))}
    found |= {"tiff 16": tiff(noise), "tiff float": tiff(noise.astype(np.float32), sample_format=3, order=">")}
    found |= {
        "tiff int32": tiff(noise.astype(np.int32), sample_format=2),
        "colour tiff 16": tiff(np.stack([noise] * 3, -1)),
    }
    found |= {"dicom": dicom(noise), "dicom window": dicom(noise, WindowCenter="2000", WindowWidth="1000")}
    found |= {"dicom frames": dicom(np.stack([noise] * 3)), "dicom colour": dicom(np.asarray(image))}
    return found | {"dicom without header": found["dicom"][found["dicom"].index(b"\x08\0\x16\0") :]}
