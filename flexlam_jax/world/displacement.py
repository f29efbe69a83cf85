"""How far a picture moved between two frames: the arrow that a page draws for a code.

Block matching: each block of a frame is looked for in the next frame at every small shift, and the
mean of the best shifts is taken, a block counting by how much better its best shift explains it than
none. So a view that turns moves by all blocks, and a thing that moves before a background that stands
still by the few blocks that it covers. The errors are those of `models/motion.py`.

Dimension keys: N pairs, H W C frame, R Q rows and columns of blocks, S shifts, V codes.
"""

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.loading.buckets import in_buckets
from flexlam_jax.models.motion import average_pool, shift_errors

_SIDE = 64  # pixels that larger frames are averaged down to
_BLOCK = 8  # pixels
_RADIUS = (5, 10)  # shifts in y and x: views turn faster than they nod
_NOISE = 1 / 255  # of the mean error of a block, that no shift has to explain


def displacement(frames: np.ndarray, next_frames: np.ndarray) -> np.ndarray:
    """The shift of what moved from each frame to the next, in pixels.

    Args:
      frames, next_frames: uint8 (N, H, W, C).

    Returns:
      float32 (N, 2): x to the right and y downwards; 0 where nothing moved, or nothing shows. Of
      frames of 64 pixels at most 10 to a side and 5 up and down, of larger ones in proportion.

    Raises:
      ValueError: shapes that differ, or no frames.
    """
    if frames.shape != next_frames.shape or frames.ndim != 4 or 0 in frames.shape[1:]:
        raise ValueError(
            f"displacement: frames {frames.shape} and next_frames {next_frames.shape}; give two of "
            "the same shape (N, H, W, C)"
        )
    if not len(frames):
        return np.zeros((0, 2), np.float32)
    return np.asarray(in_buckets(_shift, (frames, next_frames), batched=True))


@jax.jit
def _shift(frames: jax.Array, next_frames: jax.Array) -> jax.Array:
    factor = max(1, max(frames.shape[1:3]) // _SIDE)
    high, wide = (side // factor * factor for side in frames.shape[1:3])
    grey, grey_next = (
        average_pool(images[:, :high, :wide].astype(jnp.float32) / 255, factor).mean(-1)
        for images in (frames, next_frames)
    )
    windows = tuple(map(_blocks, grey.shape[1:]))
    errors = shift_errors(grey, grey_next, windows, _RADIUS)  # (N, R, Q, S)
    best, still = errors.argmin(-1), errors[..., errors.shape[-1] // 2]
    weight = jnp.maximum(still - errors.min(-1) - _NOISE, 0)
    columns = 2 * _RADIUS[1] + 1
    shift = jnp.stack([best % columns - _RADIUS[1], best // columns - _RADIUS[0]], -1)
    total = weight.sum((1, 2))[:, None]
    mean = (weight[..., None] * shift).sum((1, 2)) / jnp.maximum(total, 1e-9)
    return factor * mean


def _blocks(side: int) -> int:
    """The number of blocks that divides a side, each of about _BLOCK pixels or more."""
    return max(count for count in range(1, max(1, side // _BLOCK) + 1) if side % count == 0)


def mean_motion(shift: np.ndarray, code: np.ndarray, codes: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean shift of the transitions with each code, and how much of it is one way.

    Args:
      shift: (N, 2), pixels.   code: int (N,) in 0..V-1, negative for transitions to leave out.
      codes: V.

    Returns:
      mean float (V, 2), and the mean length of the shifts (V,), which a code of motion to and fro
      has without a mean; NaN for a code without transitions.
    """
    kept = code >= 0
    shift, code = np.asarray(shift, np.float64)[kept], code[kept]
    count = np.bincount(code, minlength=codes).astype(np.float64)
    count[count == 0] = np.nan
    sums = [np.bincount(code, weights=shift[:, i], minlength=codes) for i in (0, 1)]
    length = np.bincount(code, weights=np.hypot(*shift.T), minlength=codes)
    return np.stack(sums, -1) / count[:, None], length / count
