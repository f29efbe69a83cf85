"""Encoded pictures of strangers to RGB: the one place that opens them.

Only formats that are decoded inside the image library are opened: for others (PostScript, say,
whatever its file is called) it would start another program. Sizes are judged by the header, before
anything is unpacked.
"""

from __future__ import annotations

import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data_pipelines.readers.recordings import ItemError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif")
MAX_PIXELS = 64_000_000  # a picture of 8000 x 8000; 192 MB as RGB
_DEPTH_16 = 65535
_ORIENTATION = 0x0112  # EXIF: how the picture is turned


def open_picture(
    encoded: bytes | str | os.PathLike, where: str, *, formats: tuple[str, ...] = FORMATS
) -> Image.Image:
    """The picture, upright as its own metadata say, as an RGB image in memory.

    encoded: the bytes or the file. where: names it in errors.

    Raises ItemError: 'unreadable picture' (damaged, or no picture of these formats), 'too large',
    or 'pixel range' (see `to_rgb`).
    """
    source = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded
    try:
        with Image.open(source, formats=formats) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ItemError(
                    "too large",
                    f"{where}: {image.width} x {image.height} pixels; at most {MAX_PIXELS} are read",
                )
            return to_rgb(ImageOps.exif_transpose(image), where)
    except ItemError:
        raise
    except UnidentifiedImageError:
        raise ItemError(
            "unreadable picture",
            f"{where}: is not one of {', '.join(formats)}, or has no whole header",
        ) from None
    except Exception as error:  # damaged pictures raise nearly everything
        reason = str(error) or type(error).__name__
        raise ItemError("unreadable picture", f"{where}: {reason}") from error


class Header(NamedTuple):
    """width, height: pixels, upright. moving: whether the file holds more than one picture."""

    width: int
    height: int
    moving: bool


def picture_header(path: str | os.PathLike) -> Header | None:
    """What a file says before anything is unpacked; None if it is no picture of these formats."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            width, height = image.size[::-1] if turned else image.size
            return Header(width, height, bool(getattr(image, "is_animated", False)))
    except Exception:  # damaged pictures raise nearly everything; opening them says what it is
        return None


def picture_array(
    encoded: bytes | str | os.PathLike, where: str, *, formats: tuple[str, ...] = FORMATS
) -> np.ndarray:
    """`open_picture` as uint8 (H, W, 3)."""
    return np.asarray(open_picture(encoded, where, formats=formats))


def to_rgb(image: Image.Image, where: str) -> Image.Image:
    """Any mode to RGB with 8 bits, by one rule for all pictures.

    16-bit grey is scaled by its whole range (65535 is white), never by what this picture holds, so
    that the frames of a sequence stay comparable. Floats are taken as 0..1, or, where a value is
    above 1, as 0..255. Palettes are looked up. Alpha is dropped, as video decoders and simulators
    do: what lies below it is the picture. Raises ItemError 'pixel range' for numbers outside.
    """
    if image.mode.startswith("I"):
        return _grey(np.asarray(image).astype(np.float64) * (255 / _DEPTH_16), where)
    if image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        return _grey(values * 255 if values.max(initial=0) <= 1 else values, where)
    if image.mode in ("P", "PA"):  # a palette may hold transparency, which RGB alone warns about
        image = image.convert("RGBA")
    return image.convert("RGB")


def _grey(values: np.ndarray, where: str) -> Image.Image:
    if not (values.min(initial=0) >= 0 and values.max(initial=0) <= 255):  # also catches NaN
        raise ItemError(
            "pixel range",
            f"{where}: pixels from {values.min():g} to {values.max():g} of 255 once scaled; integers "
            f"must be in 0..{_DEPTH_16}, floats in 0..1 or 0..255",
        )
    return Image.fromarray(np.rint(values).astype(np.uint8)).convert("RGB")
