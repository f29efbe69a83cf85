"""Many frames in one picture, row by row, of which a page shows one at a time."""

import math

import numpy as np

from flexlam_jax.reports.pictures import jpeg_uri

_COLUMNS = 16  # frames side by side in the picture that holds them


def rule(name: str, frames: np.ndarray, *, colours: bool = False) -> str:
    """The rule of CSS for elements of class `name`, in each of which one of the frames, uint8
    (N, H, W, 3), is seen: the one whose place is its background-position. `colours`: see `jpeg_uri`.
    """
    high, wide = frames.shape[1:3]
    size = f"{100 * _COLUMNS}% {100 * math.ceil(len(frames) / _COLUMNS)}%"
    return (
        f".{name}{{background-image:url({jpeg_uri(_sheet(frames), colours=colours)});"
        f"background-size:{size};aspect-ratio:{wide}/{high}}}"
    )


def places(count: int) -> list[str]:
    """Where each of so many frames lies, as a background-position."""
    rows = max(1, math.ceil(count / _COLUMNS) - 1)
    return [
        f"{100 * (i % _COLUMNS) / (_COLUMNS - 1):.4g}% {100 * (i // _COLUMNS) / rows:.4g}%"
        for i in range(count)
    ]


def _sheet(frames: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, 3) -> one picture of them row by row, _COLUMNS in each."""
    rows = math.ceil(len(frames) / _COLUMNS)
    filled = np.zeros((rows * _COLUMNS, *frames.shape[1:]), np.uint8)
    filled[: len(frames)] = frames
    high, wide = frames.shape[1:3]
    sheet = filled.reshape(rows, _COLUMNS, high, wide, 3).swapaxes(1, 2)
    return sheet.reshape(rows * high, _COLUMNS * wide, 3)
