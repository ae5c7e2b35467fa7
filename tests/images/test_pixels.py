"""Every kind of image file becomes the right pixels, or is refused; whatever is lost is said."""

import sys
import zlib

import numpy as np
import pytest
from kinds import RAMP, chunk, dicom, frame_groups, png_16, saved, text_of, tiff, voi_table
from PIL import Image, TiffImagePlugin

from catscans_lib.images import decode, listing, pixels, store

RAMP_16 = RAMP.astype(np.uint16)
COLOUR = np.stack([RAMP_16, RAMP_16 // 2, RAMP_16 // 4], axis=-1)
GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
RGB = Image.fromarray(np.stack([GREY, GREY.T, GREY[::-1]], axis=-1))
TO_255 = RAMP / 4080 * 255


def decoded(data, path, size_px=16, resize="squash"):
    path.write_bytes(data)
    return decode.decode(path, size_px, resize)


def stored(files, tmp_path, **options):
    """The store of files given by name."""
    rows = []
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        rows.append(listing.Row(name, name, "a", name, ""))
    listed = listing.make_listing(rows, [], tmp_path, root=tmp_path)
    problems = store.write(tmp_path / "x.h5", listed, dataset="own", size_px=16, **options)
    return store.open_store(tmp_path / "x.h5"), problems


def said(images):
    return list(images.losses.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("form", "options", "tolerance"),
    [
        ("BMP", {}, 0), ("WEBP", {"lossless": True}, 0), ("PNG", {}, 0), ("TIFF", {}, 0), ("PPM", {}, 0), ("JPEG2000", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0), ("JPEG", {"quality": 100, "subsampling": 0}, 3), ("GIF", {}, 40),
    ],
)  # fmt: skip
def test_the_format_is_read_from_the_content_and_not_from_the_suffix(form, options, tolerance, tmp_path):
    got = decoded(saved(RGB, form, **options), tmp_path / "x.anything")
    assert got.problem == "" and got.losses == ()
    assert np.abs(got.pixels.astype(int) - np.asarray(RGB)).max() <= tolerance


@pytest.mark.parametrize("name", ["a.bmp", "a.webp", "a.jfif", "a.JPG", "a.Tiff", "a.gif", "a.pgm", "a.jp2", "a.dcm"])
def test_these_suffixes_are_images_in_any_case(name, tmp_path):
    (tmp_path / name).write_bytes(saved(RGB, "PNG"))
    problems = []
    assert listing.image_names(tmp_path, ".", problems) == [name] and not problems
    assert listing.stem(name) == "a"


def test_dicom_files_are_found_by_content_keep_their_whole_name_and_volumes_say_how_to_cut_them(tmp_path):
    names = ["1.2.840.1", "1.2.840.2", "IM0001"]
    for name in names:
        (tmp_path / name).write_bytes(dicom(RAMP_16))
    (tmp_path / "notes.doc").write_bytes(b"text" * 50)
    (tmp_path / "brain.nii.gz").write_bytes(b"\x1f\x8b")
    problems = []
    assert listing.image_names(tmp_path, ".", problems) == names
    assert [listing.stem(f"a/{name}") for name in names] == names
    said = {problem.path: problem.problem for problem in problems}
    assert "not an image file" in said["./notes.doc"] and "nibabel" in said["./brain.nii.gz"]


DEEP = {  # each file holds RAMP, or a multiple of it
    "PNG, 12 bits in 16": saved(RAMP_16, "PNG"),
    "TIFF, 12 bits in 16": tiff(RAMP_16),
    "TIFF, big-endian": tiff(RAMP_16, order=">"),
    "TIFF, compressed": tiff(RAMP_16, compressed=True),
    "TIFF, 16 bits signed": tiff(RAMP.astype(np.int16) - 2000, sample_format=2),
    "TIFF, 32 bits": tiff(RAMP.astype(np.int32), sample_format=2),
    "TIFF, 32 bits unsigned": tiff((RAMP * 1_000_000).astype(np.uint32)),
    "TIFF, float": tiff((RAMP / 4080).astype(np.float32), sample_format=3),
    "TIFF, 10 bits in 16": tiff(RAMP_16 // 4),
    "TIFF, white is zero": tiff(RAMP_16.max() - RAMP_16, photometric=0),
    "PGM": saved(RAMP_16, "PPM"),
    "JPEG 2000": saved(RAMP_16, "JPEG2000"),
    "DICOM": dicom(RAMP_16),
    "DICOM, signed and rescaled": dicom((RAMP - 1024).astype(np.int16), RescaleSlope="2", RescaleIntercept="-5"),
    "DICOM, table of grey values": dicom(
        RAMP_16, RescaleSlope="1", RescaleIntercept="0", **voi_table(range(0, 40960, 10))
    ),
    "DICOM, MONOCHROME1": dicom(RAMP_16.max() - RAMP_16, PhotometricInterpretation="MONOCHROME1"),
}


@pytest.mark.parametrize("kind", DEEP)
def test_images_with_more_than_8_bits_fill_the_range_of_the_dataset(kind, tmp_path):
    images, problems = stored({"a.png": DEEP[kind]}, tmp_path)
    assert problems.empty and images.value_range is not None
    assert np.abs(images.images[0] - TO_255[..., None]).max() <= 1
    assert [loss for loss in said(images) if loss[0] == ""] == [said(images)[0]]
    assert (
        "of 1 images with more than 8 bits, or in DICOM files without a window, became 0 to 255" in said(images)[0][1]
    )


def test_a_dicom_file_of_several_frames_has_its_window_in_groups(tmp_path):
    values = RAMP_16 // 4  # 0 to 1,020
    got = decoded(dicom(np.stack([values, values]), **frame_groups()), tmp_path / "a.dcm")
    plain = {"RescaleSlope": "2", "RescaleIntercept": "-100", "WindowCenter": "1000", "WindowWidth": "500"}
    np.testing.assert_array_equal(got.pixels, decoded(dicom(values, **plain), tmp_path / "b.dcm").pixels)
    assert set(np.unique(got.pixels)) >= {0, 255} and got.losses == (pixels.dicom.PAGES.format(n=2), pixels.dicom.CUT)


def test_a_bmp_with_five_bits_per_channel_is_no_16_bit_image(tmp_path):
    header = (
        b"BM" + (54 + 512).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    )
    header += (16).to_bytes(4, "little") * 2 + b"\x01\0\x10\0" + bytes(24)
    got = decoded(header + b"\xff\x7f" * 256, tmp_path / "x.bmp")
    assert (got.pixels == 255).all() and got.extremes == ()


def test_all_images_share_one_range_which_identifies_the_data_and_8_bit_files_keep_their_values(tmp_path):
    files = {"a.png": saved(RAMP_16, "PNG"), "b.tif": tiff(RAMP_16 // 2), "c.png": saved(GREY, "PNG")}
    images, _ = stored(files, tmp_path)
    assert images.value_range == (0, 4080) and images.images[1].max() == 128
    np.testing.assert_array_equal(images.images[2][..., 0], GREY)
    assert said(images) == [
        (
            "",
            "the values 0 to 4,080 of 2 images with more than 8 bits, or in DICOM files without a window, became 0 to 255",
        )
    ]
    less, _ = stored({"a.png": files["a.png"]}, tmp_path)
    twice, _ = stored({"a.png": saved(RAMP_16 * 2, "PNG")}, tmp_path)
    assert (less.images == twice.images).all() and less.fingerprint != twice.fingerprint


def test_dead_pixels_do_not_set_the_range_and_images_that_are_dim_in_it_are_named(tmp_path):
    dead = np.tile(RAMP_16, (8, 8))
    dead[5, 5] = 65535
    images, _ = stored({"a.png": saved(dead, "PNG"), "b.png": saved(RAMP_16 // 16, "PNG")}, tmp_path)
    assert images.value_range[1] == 4080 and images.images[0].max() > 150
    assert {path: loss.split(",")[0].split(" of")[0] for path, loss in said(images) if path} == {
        "a.png": "values outside", "b.png": "uses less than an eighth"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.full((4, 4), np.nan, np.float32), "no pixel has a finite value"),
        (np.float32([[0, 1], [np.inf, 2]]), ""),
        (np.float32([[0, 1], [-3.4e38, 2]]), ""),
    ],
)
def test_values_that_are_no_numbers_are_said(values, problem, tmp_path):
    got = decoded(tiff(values, sample_format=3), tmp_path / "a.tif", 2)
    assert problem in got.problem
    assert problem or (got.losses == (pixels.NO_VALUE,) and got.pixels[1, 0] == 0)


@pytest.mark.parametrize("libtiff", [False, True])
def test_both_readers_of_tiff_in_pillow_give_the_same_deep_values(libtiff, monkeypatch, tmp_path):
    monkeypatch.setattr(TiffImagePlugin, "READ_LIBTIFF", libtiff)
    for order in "<>":
        np.testing.assert_array_equal(decoded(tiff(RAMP_16, order=order), tmp_path / "a.tif").pixels, RAMP_16)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def cleared(alpha):
    image = RGB.convert("RGBA")
    image.putalpha(alpha)
    return image


LOSSES = {
    "TIFF with pages": (saved(RGB, "TIFF", save_all=True, append_images=[RGB] * 2), pixels.dicom.PAGES.format(n=3)),
    "animated GIF": (saved(RGB, "GIF", save_all=True, append_images=[RGB.rotate(90)]), pixels.dicom.PAGES.format(n=2)),
    "animated WebP": (
        saved(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(90)]),
        pixels.dicom.PAGES.format(n=2),
    ),
    "animated PNG": (saved(RGB, "PNG", save_all=True, append_images=[RGB.rotate(90)]), pixels.dicom.PAGES.format(n=2)),
    "DICOM with frames": (dicom(np.stack([RAMP_16] * 4)), pixels.dicom.PAGES.format(n=4)),
    "fully transparent": (saved(cleared(0), "PNG"), pixels.TRANSPARENT),
    "partly transparent": (saved(cleared(100), "PNG"), pixels.TRANSPARENT),
    "turned JPEG": (saved(RGB, "JPEG", exif=turned(6)), pixels.TURNED),
    "turned TIFF": (saved(RGB, "TIFF", exif=turned(6)), pixels.TURNED),
    "opaque alpha": (saved(cleared(255), "PNG"), None),
    "upright": (saved(RGB, "JPEG", exif=turned(1)), None),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_whatever_is_lost_of_an_image_is_said(kind, tmp_path):
    data, loss = LOSSES[kind]
    got = decoded(data, tmp_path / "x")
    assert got.problem == "" and got.losses == ((loss,) if loss else ())


def test_losses_are_stored_by_image_and_usual_ones_counted_for_the_dataset(tmp_path):
    files = {kind: data for kind, (data, _) in LOSSES.items() if kind.startswith(("turned", "fully"))}
    images, _ = stored(files, tmp_path)
    assert said(images) == [("fully transparent", pixels.TRANSPARENT), ("", f"2 images: {pixels.TURNED}")]


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_a_tiff_is_turned_once(orientation, tmp_path):
    upright = decoded(saved(RGB, "PNG", exif=turned(orientation)), tmp_path / "a.png")
    got = decoded(saved(RGB, "TIFF", exif=turned(orientation)), tmp_path / "a.tif")
    np.testing.assert_array_equal(got.pixels, upright.pixels)


PROFILE = chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(90_000_000)))  # Pillow refuses more than 1 MiB of it
LARGE = {"text": saved(RGB, "PNG", pnginfo=text_of(5_000_000)), "profile": saved(RGB, "PNG")}
LARGE["profile"] = LARGE["profile"][:33] + PROFILE + LARGE["profile"][33:]  # after the header
LARGE["text after the pixels"] = (
    LARGE["profile"][:-12] + chunk(b"zTXt", b"a\0\0" + PROFILE[13:-4]) + LARGE["profile"][-12:]
)


@pytest.mark.parametrize("kind", LARGE)
def test_a_png_with_a_large_text_or_colour_profile_is_read(kind, tmp_path):
    got = decoded(LARGE[kind], tmp_path / "x.png")
    assert got.problem == ""
    np.testing.assert_array_equal(got.pixels, np.asarray(RGB))


@pytest.mark.parametrize("count", [0, 9])
def test_damaged_exif_data_do_not_lose_the_image(count, tmp_path):
    data = saved(RGB, "JPEG", exif=turned(6))
    entry = b"\x01\x12\x00\x03\x00\x00\x00"
    assert entry + b"\x01" in data
    got = decoded(data.replace(entry + b"\x01", entry + bytes([count])), tmp_path / "x.jpg")
    assert got.problem == "" and got.losses == ()


WINDOW = {"WindowCenter": "2040.5", "WindowWidth": "1021"}  # from 1530 to 2550
REFUSED = {
    "colour TIFF in planes": (tiff(COLOUR, planar=True), "colours of more than 8 bits"),
    "colour PNG": (png_16(COLOUR), "colours of more than 8 bits (RGB;16B); save the image with 8 bits"),
    "colour TIFF": (tiff(COLOUR), "colours of more than 8 bits"),
    "TIFF of 64-bit floats": (tiff(RAMP.astype(float), sample_format=3), "a TIFF of an unknown kind (bits, channels"),
    "text": (b"no image", "not an image of a known kind"),
    "nothing": (b"", "empty file (0 bytes)"),
}


DICOM = {  # expected pixels, or part of the problem
    "window": (dicom(RAMP_16, **WINDOW), np.clip((RAMP - 1530) / 1020, 0, 1) * 255),
    "first of two windows": (
        dicom(RAMP_16, WindowCenter=["2040.5", "9"], WindowWidth=["1021", "9"]), np.clip((RAMP - 1530) / 1020, 0, 1) * 255
    ),
    "window of rescaled values": (
        dicom(RAMP_16, RescaleSlope="2", RescaleIntercept="-100", WindowCenter="3980.5", WindowWidth="2041"),
        np.clip((RAMP * 2 - 100 - 2960) / 2040, 0, 1) * 255,
    ),
    "window, MONOCHROME1": (
        dicom(RAMP_16, PhotometricInterpretation="MONOCHROME1", **WINDOW), 255 - np.clip((RAMP - 1530) / 1020, 0, 1) * 255
    ),
    "empty window": (dicom(RAMP_16, WindowCenter="", WindowWidth=""), RAMP),
    "colour": (dicom(np.asarray(RGB)), np.asarray(RGB)),
    "colour, YBR": (
        dicom(np.asarray(RGB.convert("YCbCr")), PhotometricInterpretation="YBR_FULL"), np.asarray(RGB)
    ),
    "padding": (
        dicom(np.where(RAMP == 4080, -2000, RAMP).astype(np.int16), PixelPaddingValue=-2000), np.where(RAMP == 4080, 0, RAMP)
    ),
    "no image": (dicom(RAMP_16, PixelData=None), "could not be read"),
    "unknown compression": (dicom(RAMP_16).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"), "could not be read"),
    "cut off": (dicom(RAMP_16)[:-40], "could not be read"),
    "far too large": (dicom(RAMP_16, Rows=40_000, Columns=40_000), "pixels; shrink it first"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DICOM)
def test_dicom_files_are_shown_through_their_window_or_refused(kind, tmp_path):
    data, expected = DICOM[kind]
    got = decoded(data, tmp_path / "IM0001")
    if isinstance(expected, str):
        assert expected in got.problem
        return
    assert got.problem == ""
    expected = expected if expected.ndim == got.pixels.ndim else expected[..., None]
    assert np.abs(got.pixels.astype(int) - expected).max() <= 3
    assert (pixels.dicom.CUT in got.losses) == ("window" in kind and "empty" not in kind)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_reason(kind, tmp_path):
    data, problem = REFUSED[kind]
    assert decoded(data, tmp_path / "x").problem.startswith(f"could not be read: {problem}")


def test_a_dicom_file_without_pydicom_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert "install it: .venv/bin/pip install pydicom" in decoded(dicom(RAMP_16), tmp_path / "x").problem


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (20, 20)])
@pytest.mark.parametrize("form", ["RGB", "F"])
def test_images_are_squashed_cropped_or_padded(size, form, tmp_path):
    image = Image.new("L", size, 50)
    image.paste(200, (size[0] // 2 - 5, size[1] // 2 - 5, size[0] // 2 + 5, size[1] // 2 + 5))  # a square in the middle
    files = {
        "a.tif": tiff(np.asarray(image).astype(np.float32), sample_format=3) if form == "F" else saved(image, "PNG")
    }

    def bright(resize):
        grey = stored(files, tmp_path, resize=resize)[0].images[0][..., 0]
        return (grey > 150).sum(axis=1).max(), (grey > 150).sum(axis=0).max(), (grey == 0).all(axis=1).sum()

    assert bright("squash")[:2] == (160 // size[0], 160 // size[1])
    assert bright("crop")[:2] == (8, 8)
    assert bright("pad")[:2] == (160 // max(size), 160 // max(size))
    if form == "RGB":
        assert bright("pad")[2] == (8 if size == (40, 20) else 0) and bright("crop")[2] == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64, bool])
def test_arrays_of_any_numbers_are_read(dtype, tmp_path):
    images = [(RAMP / 4080 * scale).astype(dtype) for scale in (255, 127)]
    rows = [listing.Row(str(k), str(k), "a", str(k), "") for k in range(2)]
    listed = listing.make_listing(
        rows, [], tmp_path, root=tmp_path, pixels=lambda names: (images[int(k)] for k in names)
    )
    store.write(tmp_path / "x.h5", listed, dataset="own", size_px=16)
    opened = store.open_store(tmp_path / "x.h5")
    assert (opened.value_range is None) == (dtype is np.uint8)
    assert opened.images[0].max() == 255 and opened.images[0].shape == (16, 16, 3)
