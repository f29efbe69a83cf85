"""The light decoder: a space-to-depth U-Net on o_t, modulated (FiLM) by the null-filled slots.

Strided convolutions are slow on XLA:CPU, space-to-depth followed by a dense layer is fast; the 3x3
convolutions run on the coarse grids only.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.models.dense import Dense
from flexlam_jax.models.patches import patchify, unpatchify


def space_to_depth(x: jax.Array, factor: int) -> jax.Array:
    """(B, H, W, C) -> (B, H/f, W/f, f*f*C)."""
    B, H, W, _ = x.shape
    return patchify(x, factor).reshape(B, H // factor, W // factor, -1)


def depth_to_space(x: jax.Array, factor: int) -> jax.Array:
    """(B, H, W, f*f*C) -> (B, f*H, f*W, C)."""
    B, H, W, width = x.shape
    return unpatchify(x.reshape(B, H * W, width), (H, W), factor)


class FilmConv(nn.Module):
    """Residual 3x3 convolution whose features are scaled and shifted by the condition (B, M)."""

    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, condition):
        film = Dense(2 * self.channels, dtype=self.dtype, name="film")(condition)
        scale, shift = jnp.split(film[:, None, None, :], 2, axis=-1)
        z = nn.Conv(self.channels, (3, 3), dtype=self.dtype, name="conv")(x)
        return x + nn.gelu(z * (1.0 + scale) + shift)


class MotionDecoder(nn.Module):
    """o_t (B, H, W, C) float and null-filled slots (B, K, D) -> (B, H, W, C) float32.

    Fields: channels at the grid of stride `patch`; twice as many at the grid below it.
    """

    channels: int = 64
    hidden: int = 128
    patch: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, o_t: jax.Array, slots: jax.Array) -> jax.Array:
        C, channels = o_t.shape[-1], self.channels

        def dense(width, name):
            return Dense(width, dtype=self.dtype, name=name)

        condition = slots.reshape(slots.shape[0], -1).astype(jnp.float32)
        condition = nn.gelu(dense(self.hidden, "condition_1")(condition))
        condition = nn.gelu(dense(self.hidden, "condition_2")(condition))

        fine = nn.gelu(dense(channels, "down_1")(space_to_depth(o_t, self.patch)))
        fine = FilmConv(channels, self.dtype, name="fine_in")(fine, condition)
        coarse = nn.gelu(dense(2 * channels, "down_2")(space_to_depth(fine, 2)))
        coarse = FilmConv(2 * channels, self.dtype, name="coarse_1")(coarse, condition)
        coarse = FilmConv(2 * channels, self.dtype, name="coarse_2")(coarse, condition)
        up = depth_to_space(dense(4 * channels, "up_2")(coarse), 2)
        fine = FilmConv(channels, self.dtype, name="fine_out")(fine + up, condition)
        pixels = Dense(self.patch**2 * C, dtype=jnp.float32, name="to_pixels")(fine)
        return depth_to_space(pixels, self.patch)
