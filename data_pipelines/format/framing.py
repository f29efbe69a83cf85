"""Pictures of any size to square RGB frames."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data_pipelines.errors import DataError

FITS = ("crop", "stretch")


def crop_box(
    width: int, height: int, fit: str, pixel_aspect: float = 1.0
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom), in pixels, of the part of a picture that becomes the frame.

    fit 'crop' is the centre square as it is shown; 'stretch' keeps the whole picture and gives up
    its aspect ratio. pixel_aspect: width over height of one pixel.
    """
    if fit not in FITS:
        raise DataError(f"unknown fit {fit!r}; use one of {', '.join(FITS)}")
    if fit == "stretch":
        return 0, 0, width, height
    side = min(width * pixel_aspect, height)
    across = min(width, max(1, round(side / pixel_aspect)))
    down = min(height, max(1, round(side)))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def square_frame(image: Image.Image, size: int, fit: str) -> np.ndarray:
    """uint8 (size, size, 3), the crop_box of the picture resized by area."""
    return _square(image.convert("RGB"), size, fit)


def fit_frame(frame: np.ndarray, size: int, fit: str) -> np.ndarray:
    """square_frame for an array uint8 (H, W, C), which keeps its channels, 1 or 3; a frame of the
    right size comes back as it is."""
    if frame.shape[:2] == (size, size) and frame.shape[-1] in (1, 3) and frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)
    if frame.ndim == 3 and frame.shape[-1] == 1:
        return _square(Image.fromarray(frame[..., 0]), size, fit)[..., None]
    return square_frame(Image.fromarray(frame), size, fit)


def _square(image: Image.Image, size: int, fit: str) -> np.ndarray:
    box = crop_box(*image.size, fit)
    # BOX averages all pixels when shrinking; when enlarging it would repeat them, so interpolate
    # there.
    shrinks = min(box[2] - box[0], box[3] - box[1]) >= size
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(image.resize((size, size), method, box=box))
