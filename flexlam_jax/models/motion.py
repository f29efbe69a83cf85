"""Local correlation features of a frame pair: they make a code action-like in minutes on a CPU.

For every shift (dy, dx) in a small search range the absolute difference between o_t and the shifted
o_{t+1} is averaged over windows of the image: a profile of matching errors per window, as
optical-flow networks use, whose minimum lies at the local motion. A softmin turns it into a
distribution over shifts. No parameters; nothing here is learned, and nothing but motion passes:
neither o_t nor the frame difference, which tempt an encoder to code the scene.

Dimension keys: ... batch, H W C image, R Q rows and columns of windows, S shifts.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp


def average_pool(images: jax.Array, factor: int) -> jax.Array:
    """Mean over factor x factor blocks, (..., H, W, C) -> (..., H/factor, W/factor, C)."""
    if factor == 1:
        return images
    *batch, H, W, C = images.shape
    return images.reshape(*batch, H // factor, factor, W // factor, factor, C).mean((-4, -2))


def shift_errors(
    o_t: jax.Array, o_next: jax.Array, windows: Sequence[int], radius: Sequence[int]
) -> jax.Array:
    """Mean absolute error per window and shift.

    Args:
      o_t, o_next: float (..., H, W), grey.
      windows: (R, Q), each dividing H, W.
      radius: (ry, rx), largest shift in pixels; S = (2 ry + 1)(2 rx + 1), dx fastest.

    Returns:
      (..., R, Q, S) float32: entry (dy, dx) compares o_t[y, x] with o_next[y + dy, x + dx].
    """
    chex.assert_equal_shape([o_t, o_next])
    *batch, H, W = o_t.shape
    (R, Q), (ry, rx) = windows, radius
    # Batch last, so that the CPU's vector lanes run over samples and not over a window's few
    # columns: twice as fast.
    o_t, o_next = (jnp.moveaxis(x.reshape(-1, H, W), 0, -1) for x in (o_t, o_next))
    padded = jnp.pad(o_next, [(ry, ry), (rx, rx), (0, 0)], mode="edge")
    errors = []
    for dy in range(2 * ry + 1):
        for dx in range(2 * rx + 1):
            error = jnp.abs(padded[dy : dy + H, dx : dx + W] - o_t)
            errors.append(error.reshape(R, H // R, Q, W // Q, -1).mean((1, 3)))
    return jnp.stack(errors).transpose(3, 1, 2, 0).reshape(*batch, R, Q, -1)


def shift_distribution(
    errors: jax.Array, sharpness: float = 0.3, floor: float = 0.003
) -> jax.Array:
    """Softmin of each window's profile (last axis); its temperature follows the window's contrast.

    The depth of a profile depends on the texture in the window, its shape on the motion. `floor`
    (grey levels on the [0, 1] scale) keeps a window without texture near the uniform distribution
    instead of amplifying its noise.
    """
    best = errors.min(-1, keepdims=True)
    depth = errors.mean(-1, keepdims=True) - best
    return jax.nn.softmax((best - errors) / (sharpness * depth + floor), axis=-1)


def motion_features(
    o_t: jax.Array,
    o_next: jax.Array,
    windows: Sequence[int],
    radius: Sequence[int],
    factor: int,
) -> jax.Array:
    """Distribution over shifts per window, scaled to unit size.

    Args:
      o_t, o_next: float (..., H, W, C) in [0, 1].
      windows: (R, Q).
      radius: search range in pixels of the picture pooled by `factor`.
      factor: pooling before the search.

    Returns:
      (..., R, Q, S) float32; no gradient flows to the frames.
    """
    # Grey first: a third of the work, and shifts are as visible.
    first, second = (average_pool(x, factor).mean(-1) for x in (o_t, o_next))
    profile = shift_distribution(shift_errors(first, second, windows, radius))
    return jax.lax.stop_gradient(profile) * jnp.sqrt(profile.shape[-1])
