"""Frames between uint8, as they are stored and moved, and floats in [0, 1], as models see them."""

from typing import Any

import jax
import jax.numpy as jnp


def to_float(frames: Any) -> jax.Array:
    """uint8 frames -> float32 in [0, 1]; floating frames must already be on that scale.

    Raises:
      ValueError: any other type, since its scale cannot be known.
    """
    frames = jnp.asarray(frames)
    if frames.dtype == jnp.uint8:
        return frames.astype(jnp.float32) * (1.0 / 255.0)
    if jnp.issubdtype(frames.dtype, jnp.floating):
        return frames.astype(jnp.float32)
    raise ValueError(f"frames have type {frames.dtype}; pass uint8 (0..255) or floats in [0, 1]")


def from_float(frames: jax.Array, dtype: Any) -> jax.Array:
    """The inverse: float frames, clipped to [0, 1], as `dtype`; rounded if that is uint8."""
    frames = jnp.clip(frames, 0.0, 1.0)
    return jnp.round(frames * 255.0).astype(dtype) if dtype == jnp.uint8 else frames.astype(dtype)
