"""Local correlation features of a frame pair: what makes a code action-like within minutes on a CPU.

For every shift (dy, dx) in a small search range the absolute difference between o_t and the shifted o_{t+1} is
averaged over windows of the image: a profile of matching errors per window, as optical-flow networks use, whose
minimum lies at the local motion. No parameters; nothing here is learned.

Dimension keys: ... batch, H W C image, R Q rows and columns of windows, S shifts.
"""

import jax
import jax.numpy as jnp


def average_pool(images: jax.Array, factor: int) -> jax.Array:
    """Mean over factor x factor blocks, (..., H, W, C) -> (..., H/factor, W/factor, C)."""
    if factor == 1:
        return images
    *batch, H, W, C = images.shape
    return images.reshape(*batch, H // factor, factor, W // factor, factor, C).mean((-4, -2))


def shift_errors(
    o_t: jax.Array, o_next: jax.Array, windows: tuple[int, int], radius: tuple[int, int]
) -> jax.Array:
    """Mean absolute error per window and shift.

    Args:
      o_t, o_next: float (..., H, W, C).
      windows: (R, Q), each dividing H, W.
      radius: (ry, rx), largest shift in pixels; S = (2 ry + 1)(2 rx + 1), dx fastest.

    Returns:
      (..., R, Q, S) float32: entry (dy, dx) compares o_t[y, x] with o_next[y + dy, x + dx].
    """
    *batch, H, W, _ = o_t.shape
    (R, Q), (ry, rx) = windows, radius
    pad = [(0, 0)] * len(batch) + [(ry, ry), (rx, rx), (0, 0)]
    padded = jnp.pad(o_next, pad, mode="edge")
    errors = []
    for dy in range(2 * ry + 1):
        for dx in range(2 * rx + 1):
            shifted = padded[..., dy : dy + H, dx : dx + W, :]
            error = jnp.abs(shifted - o_t).mean(-1)
            errors.append(error.reshape(*batch, R, H // R, Q, W // Q).mean((-3, -1)))
    return jnp.stack(errors, axis=-1)


def relative_profile(errors: jax.Array) -> jax.Array:
    """Scales each window's profile (last axis) to 0 at its best shift and about 1 at its average.

    The depth of a profile depends on the texture in the window, its shape on the motion; a window without
    texture stays near zero.
    """
    best = errors.min(-1, keepdims=True)
    depth = errors.mean(-1, keepdims=True) - best
    return (errors - best) / (depth + 0.01)


def motion_features(
    o_t: jax.Array, o_next: jax.Array, windows: tuple[int, int], radius: tuple[int, int], factor: int
) -> jax.Array:
    """Profiles, frame difference and o_t per window.

    Args:
      o_t, o_next: float (..., H, W, C) in [0, 1].
      windows: (R, Q).
      radius: search range in pixels of the picture pooled by `factor`.
      factor: pooling before the search.

    Returns:
      (..., R, Q, S + 2 C) float32.
    """
    o_t, o_next = average_pool(o_t, factor), average_pool(o_next, factor)
    profile = relative_profile(shift_errors(o_t, o_next, windows, radius))
    *batch, H, W, C = o_t.shape
    R, Q = windows

    def window_mean(x):
        return x.reshape(*batch, R, H // R, Q, W // Q, C).mean((-4, -2))

    appearance = window_mean(o_t)
    return jnp.concatenate([profile, window_mean(o_next) - appearance, appearance], axis=-1)
