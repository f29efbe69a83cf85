"""Rotary positions (RoFormer, arXiv 2104.09864): attention then knows distances, at any length."""

import jax
import jax.numpy as jnp

_LONGEST = 10_000.0


def rotate(x: jax.Array, positions: jax.Array) -> jax.Array:
    """Turns pairs of numbers by angles in proportion to the position, from 1 radian per position
    down to 1 / 10,000.

    Args:
      x: queries or keys (..., L, H, E), E even.
      positions: (..., L), of the same batch axes or axes of size 1.

    Returns:
      Like x; angles and products are float32.
    """
    half = x.shape[-1] // 2
    pace = _LONGEST ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = positions.astype(jnp.float32)[..., None, None] * pace
    a, b = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    turned = a * jnp.cos(angle) - b * jnp.sin(angle), a * jnp.sin(angle) + b * jnp.cos(angle)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
