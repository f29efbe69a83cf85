"""Pictures of any size to square RGB frames."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data_pipelines.errors import DataError

FITS = ("crop", "stretch")


def square_frame(image: Image.Image, size: int, fit: str) -> np.ndarray:
    """uint8 (size, size, 3), resized by area.

    fit 'crop' cuts the centre square first; 'stretch' keeps the whole picture and gives up its
    aspect ratio.
    """
    if fit not in FITS:
        raise DataError(f"unknown fit {fit!r}; use one of {', '.join(FITS)}")
    box = None
    if fit == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
    # BOX averages all pixels when shrinking; when enlarging it would repeat them, so interpolate
    # there.
    shrinks = (box[2] - box[0] if box else min(image.size)) >= size
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(image.convert("RGB").resize((size, size), method, box=box))


def fit_frame(frame: np.ndarray, size: int, fit: str) -> np.ndarray:
    """square_frame for an array uint8 (H, W, 3); a frame of the right size comes back as it is."""
    if frame.shape == (size, size, 3) and frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)
    return square_frame(Image.fromarray(frame), size, fit)
