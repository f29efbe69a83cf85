"""Frame codecs: one frame in, bytes out, so that a pair of frames decodes only its own two frames.

`raw`, `png` and `zstd` are lossless; `jpeg` is not. Which one suits which frame size was measured
by `benchmark_codecs.py`; the numbers are in docs/data.md.
"""

from __future__ import annotations

import functools
import io
import math
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import zstandard
from PIL import Image, UnidentifiedImageError

from data_pipelines.errors import DataError

JPEG_QUALITY = 95
ZSTD_LEVEL = 3
_UNKNOWN = -1  # a zstd frame may keep its size to itself


class Codec(NamedTuple):
    """encode: uint8 (H, W, C) -> bytes.  decode: (bytes, (H, W, C)) -> uint8 (H, W, C).

    What `decode` gets may be damaged or forged: it unpacks nothing that is not of this size, and
    raises whatever its library raises, mostly ValueError; see Clip.decode_frames.
    """

    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes, tuple[int, int, int]], np.ndarray]
    lossless: bool


_local = threading.local()  # zstandard contexts must not be shared between threads


def _to_image(frame: np.ndarray) -> Image.Image:
    return Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame)


def _encode_image(frame: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    _to_image(frame).save(buffer, **options)
    return buffer.getvalue()


def _decode_image(data: bytes, shape: tuple[int, int, int], format: str) -> np.ndarray:
    try:
        opened = Image.open(io.BytesIO(data), formats=(format,))  # reads the header alone
    except UnidentifiedImageError:
        raise ValueError("no such picture") from None
    with opened as image:
        found = (image.height, image.width, len(image.getbands()))
        if found != shape:
            raise ValueError(f"a picture of shape {found}")
        return np.asarray(image).reshape(shape)


def _encode_zstd(frame: np.ndarray) -> bytes:
    if not hasattr(_local, "compress"):
        _local.compress = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress
    return _local.compress(frame.tobytes())


def _decode_zstd(data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    if not hasattr(_local, "decompress"):
        _local.decompress = zstandard.ZstdDecompressor().decompress
    size = math.prod(shape)
    # The library takes as much memory as the header asks for.
    found = zstandard.frame_content_size(data)
    if found not in (size, _UNKNOWN):
        raise ValueError(f"{found} bytes once unpacked")
    return np.frombuffer(_local.decompress(data, max_output_size=size), np.uint8).reshape(shape)


CODECS: dict[str, Codec] = {
    "raw": Codec(
        encode=lambda frame: frame.tobytes(),
        decode=lambda data, shape: np.frombuffer(data, np.uint8).reshape(shape),
        lossless=True,
    ),
    "png": Codec(
        encode=lambda frame: _encode_image(frame, format="PNG", compress_level=6),
        decode=functools.partial(_decode_image, format="PNG"),
        lossless=True,
    ),
    "jpeg": Codec(
        encode=lambda frame: _encode_image(
            frame, format="JPEG", quality=JPEG_QUALITY, subsampling=0
        ),
        decode=functools.partial(_decode_image, format="JPEG"),
        lossless=False,
    ),
    "zstd": Codec(encode=_encode_zstd, decode=_decode_zstd, lossless=True),
}


def get_codec(name: str) -> Codec:
    """The codec called `name`; raises DataError listing the known ones."""
    if name not in CODECS:
        raise DataError(f"unknown frame codec {name!r}; use one of {', '.join(sorted(CODECS))}")
    return CODECS[name]


def check_frame(frame: np.ndarray, shape: tuple[int, int, int], where: str) -> None:
    """Raises DataError unless `frame` is uint8 of `shape` (H, W, C)."""
    if frame.dtype != np.uint8 or tuple(frame.shape) != tuple(shape):
        raise DataError(
            f"{where}: frame is {frame.dtype} {tuple(frame.shape)}, expected uint8 {tuple(shape)}"
        )
