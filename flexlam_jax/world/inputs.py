"""What every world asks of its arguments, in one place and one wording.

Dimension keys: B rows, T0 frames of a start, H W C frame, K slots, D slot width.
"""

from typing import Any

import numpy as np


def start_frames(frames: Any, frame_shape: tuple[int, int, int], history: int) -> np.ndarray:
    """Frames of a start as a world takes them, uint8 (B, T0, H, W, C).

    Raises:
      ValueError: another type or shape, no row, no frame, or more frames than `history`.
    """
    frames = np.asarray(frames)
    size = ", ".join(map(str, frame_shape))
    if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[2:] != frame_shape:
        raise ValueError(
            f"start: frames are {frames.dtype} of shape {frames.shape}; this world starts from "
            f"uint8 (B, T0, {size})"
        )
    if not len(frames) or not 1 <= frames.shape[1] <= history:
        raise ValueError(
            f"start: frames have shape {frames.shape}; give at least one row, each of 1 to "
            f"{history} frames, the newest last"
        )
    return frames


def step_codes(
    codes: Any, keep: Any, rows: int, slots: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes float32 (B, K, D) and how many of their slots count, int32 (B,), of B = `rows`.

    Raises:
      ValueError: another type or shape, NaN or infinity, or keep outside 0..K.
    """
    codes = np.asarray(codes)
    floats = np.issubdtype(codes.dtype, np.floating)
    if not floats or codes.shape != (rows, slots, width):
        raise ValueError(
            f"step: codes are {codes.dtype} of shape {codes.shape}; give floats "
            f"({rows}, {slots}, {width}), slots as LoadedLam.encode gives them"
        )
    if not np.isfinite(codes).all():
        raise ValueError("step: codes hold NaN or infinity")
    keep = np.asarray(slots if keep is None else keep)
    whole = np.issubdtype(keep.dtype, np.integer) and keep.shape in ((), (rows,))
    if not whole or keep.min() < 0 or keep.max() > slots:
        raise ValueError(
            f"step: keep is {keep.dtype} of shape {keep.shape}"
            + (f", {keep.min()}..{keep.max()}" if keep.size else "")
            + f"; give whole numbers from 0 to {slots}, one or {rows}"
        )
    return codes.astype(np.float32), np.broadcast_to(keep, (rows,)).astype(np.int32)
