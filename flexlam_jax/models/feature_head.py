"""Predicts features of the next frame from those of this one and a prefix of a code.

Dimension keys: ... batch axes, H W C image, F features, K slots, D slot width, N steps, A actions.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.models.bottleneck import null_fill
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.light_encoder import LightEncoder


class FeatureEncoder(nn.Module):
    """What is looked for in a frame: float (..., H, W, C) in [0, 1] -> (..., F) float32.

    A light network for any picture whose sides are multiples of `patch`; raises ConfigError for
    others.
    """

    width: int = 64
    patch: int = 4

    @nn.compact
    def __call__(self, frames: jax.Array) -> jax.Array:
        flat = frames.reshape(-1, *frames.shape[-3:])
        features = LightEncoder(self.width, patch=self.patch, channels=32, name="encoder")(flat)
        return features.reshape(*frames.shape[:-3], -1).astype(jnp.float32)


class FeaturePredictor(nn.Module):
    """Features (..., F) and slots (..., K, D) before null-fill, keep (...) -> (..., F) float32.

    It begins by predicting no change.
    """

    hidden: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, slots: jax.Array, keep: jax.Array) -> jax.Array:
        null = self.param("null", nn.initializers.truncated_normal(0.02), slots.shape[-1:])
        code = null_fill(slots, keep, null).reshape(*slots.shape[:-2], -1)
        x = jnp.concatenate([features.astype(self.dtype), code.astype(self.dtype)], axis=-1)
        for i in range(2):
            x = nn.gelu(Dense(self.hidden, dtype=self.dtype, name=f"hidden_{i}")(x))
        zeros = nn.initializers.zeros
        change = Dense(features.shape[-1], kernel_init=zeros, dtype=jnp.float32, name="change")(x)
        return features + change


class InverseHead(nn.Module):
    """Features of two frames (..., F) each and the steps between, (...) in 1..N -> (..., A)."""

    outputs: int
    steps: int
    hidden: int = 128

    @nn.compact
    def __call__(self, now: jax.Array, later: jax.Array, between: jax.Array) -> jax.Array:
        x = jnp.concatenate([now, later, jax.nn.one_hot(between - 1, self.steps)], axis=-1)
        x = nn.gelu(Dense(self.hidden, name="hidden")(x))
        return Dense(self.outputs, name="out")(x)
