"""Foreign pictures: every mode becomes the RGB that a person sees; nothing else is opened."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from data_pipelines.readers.pictures import MAX_PIXELS, open_picture, picture_array
from data_pipelines.readers.recordings import ItemError


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def ramp(dtype, top):
    return np.linspace(0, top, 16 * 16).reshape(16, 16).astype(dtype)


@pytest.mark.parametrize(
    ("image", "format"),
    [
        (Image.fromarray(ramp(np.uint16, 65535)), "PNG"),
        (Image.fromarray(ramp(np.uint16, 65535)), "TIFF"),
        (Image.fromarray(ramp(np.uint16, 65535)), "PPM"),
        (Image.fromarray(ramp(np.float32, 1)), "TIFF"),
        (Image.fromarray(ramp(np.float32, 255)), "TIFF"),
        (Image.fromarray(ramp(np.uint8, 255)), "PNG"),
    ],
    ids=["png16", "tiff16", "pgm16", "unit float", "float", "grey"],
)
def test_depths_keep_their_brightness(image, format):
    got = picture_array(encoded(image, format), "x").astype(float)
    np.testing.assert_allclose(got, ramp(np.float64, 255)[..., None].repeat(3, -1), atol=1)


def test_dark_16_bit_pictures_stay_dark():
    dark = Image.fromarray(np.full((8, 8), 257 * 3, np.uint16))
    assert (picture_array(encoded(dark), "x") == 3).all()


def test_palette_and_alpha_give_the_colours_below():
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    alpha = np.concatenate([rgb, np.zeros((8, 8, 1), np.uint8)], -1)
    np.testing.assert_array_equal(picture_array(encoded(Image.fromarray(alpha)), "x"), rgb)
    palette = Image.fromarray(rgb // 128 * 255).convert("P", palette=Image.Palette.ADAPTIVE)
    got = picture_array(encoded(palette, transparency=0), "x")
    np.testing.assert_array_equal(got, np.asarray(palette.convert("RGB")))


def test_exif_turns_the_picture():
    image = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    assert open_picture(encoded(image, exif=exif), "x").size == (6, 4)


@pytest.mark.parametrize("values", [[-1.0], [300.0], [np.nan]])
def test_numbers_that_are_no_picture(values):
    image = Image.fromarray(np.full((4, 4), values[0], np.float32))
    with pytest.raises(ItemError) as caught:
        open_picture(encoded(image, "TIFF"), "frame 3")
    assert caught.value.reason == "pixel range"
    assert "frame 3" in str(caught.value)


def test_postscript_is_not_opened_whatever_its_name(tmp_path):
    trap = tmp_path / "a.png"
    trap.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with pytest.raises(ItemError, match="a.png: is not one of PNG, JPEG") as caught:
        open_picture(trap, "a.png")
    assert caught.value.reason == "unreadable picture"


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_by_its_header():
    side = 40_000
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header
    chunk += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    assert side * side > MAX_PIXELS
    with pytest.raises(ItemError) as caught:
        open_picture(b"\x89PNG\r\n\x1a\n" + chunk, "bomb.png")
    assert caught.value.reason in ("too large", "unreadable picture")


def test_text_chunks_cannot_unpack_without_end():
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "x" * 80_000_000, zip=True)
    data = encoded(Image.new("RGB", (8, 8)), pnginfo=info)
    with pytest.raises(ItemError, match="text.png"):
        open_picture(data, "text.png")


@pytest.mark.parametrize("cut", [0, 4, 40, 400])
def test_damaged_pictures(cut):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    data = encoded(Image.fromarray(noise))
    assert len(data) > 700
    with pytest.raises(ItemError) as caught:
        open_picture(data[:cut], "frame 7")
    assert caught.value.reason == "unreadable picture"
    assert "frame 7" in str(caught.value)
