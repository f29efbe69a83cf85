"""Finite scalar quantisation (Mentzer et al., arXiv 2309.15505): few levels per dimension."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.config.ranges import several, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.quantizers.base import Quantized


class FSQ(nn.Module):
    """Rounds dimension i to `levels[i]` values, evenly spaced in [-1, 1].

    The grid is symmetric for every number of levels. For odd numbers it is the paper's; for even
    ones the paper shifts the grid so that zero is a code, which for two levels puts almost every
    initial latent into one code, so here zero lies midway between two codes.

    ids: mixed-radix number of the digits, the first dimension being the least significant; codebook
      implicit.
    Gradients pass the rounding straight through.
    """

    levels: Sequence[int] = setting(
        range=several(whole(2)), help="values per dimension of a slot", required=True
    )
    loss_names = ()

    def __post_init__(self):
        super().__post_init__()
        if len(self.levels) == 0 or min(self.levels) < 2 or math.prod(self.levels) >= 2**31:
            raise ConfigError(
                f"model.quantizer.levels={tuple(self.levels)}: give at least one dimension, each "
                "with 2 or more levels, and fewer than 2^31 codes in all"
            )

    @property
    def width(self) -> int:
        return len(self.levels)

    @property
    def input_width(self) -> int:
        return len(self.levels)

    @property
    def codebook_size(self) -> int:
        return math.prod(self.levels)

    @property
    def bits_per_slot(self) -> float:
        return math.log2(self.codebook_size)

    def _radix(self):
        levels = np.asarray(self.levels, np.int32)
        return levels, np.concatenate([[1], np.cumprod(levels[:-1])]).astype(np.int32)

    def __call__(self, z: jax.Array, train: bool = False) -> Quantized:
        levels, basis = self._radix()
        top = (levels - 1).astype(np.float32)
        position = (jnp.tanh(z.astype(jnp.float32)) + 1.0) * 0.5 * top  # 0 .. L-1
        digits = jax.lax.stop_gradient(jnp.round(position))
        # Written so that the value is exactly the grid's and the gradient is that of `position`.
        straight = digits + (position - jax.lax.stop_gradient(position))
        ids = jnp.sum(digits.astype(jnp.int32) * basis, axis=-1)
        return Quantized(straight * (2.0 / top) - 1.0, ids, {}, {})

    def ids_to_values(self, ids: jax.Array) -> jax.Array:
        """ids (...) int in 0..codebook_size-1 -> (..., D)."""
        levels, basis = self._radix()
        digits = (ids[..., None] // basis) % levels
        return digits.astype(jnp.float32) * (2.0 / (levels - 1).astype(np.float32)) - 1.0
