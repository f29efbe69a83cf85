"""What the image encoders of policies share: FiLM, spatial softmax, and their interface.

An image encoder is a Linen module with

  __call__(frames (R, H, W, C) float in [0, 1], condition (R, F) | None) -> (R, M)

for R pictures, each with a condition of its own, as the instruction that is followed; None where
nothing conditions. Fields that no config sets: `width` M and `dtype`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.models.dense import Dense


class Film(nn.Module):
    """Scales and shifts channels by a condition: h (1 + gamma) + beta (arXiv 1709.07871).

    Features (R, H, W, C), condition (R, F) or None -> (R, H, W, C). Begins as the identity.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, condition: jax.Array | None) -> jax.Array:
        if condition is None:
            return features
        channels = features.shape[-1]
        both = Dense(
            (2, channels), dtype=self.dtype, kernel_init=nn.initializers.zeros, name="film"
        )
        gamma, beta = jnp.moveaxis(both(condition), -2, 0)[:, :, None, None]
        return features * (1.0 + gamma) + beta


def spatial_softmax(maps: jax.Array) -> jax.Array:
    """Where each map is large (Finn et al., arXiv 1509.06113), in float32.

    Maps (R, H, W, N) -> (R, 2 N): the mean row, then the mean column, of every map's softmax over
    its cells; rows and columns run from -1 to 1.
    """
    R, H, W, N = maps.shape
    weights = jax.nn.softmax(maps.astype(jnp.float32).reshape(R, H * W, N), axis=1)
    weights = weights.reshape(R, H, W, N)
    rows = jnp.einsum("rhwn,h->rn", weights, jnp.linspace(-1.0, 1.0, H))
    columns = jnp.einsum("rhwn,w->rn", weights, jnp.linspace(-1.0, 1.0, W))
    return jnp.concatenate([rows, columns], axis=-1)


class KeyPoints(nn.Module):
    """1x1 convolution to maps -> their spatial softmax -> a dense layer, (R, H, W, C) -> (R, M)."""

    points: int
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        maps = Dense(self.points, dtype=self.dtype, name="maps")(features)
        return Dense(self.width, dtype=self.dtype, name="out")(spatial_softmax(maps))
