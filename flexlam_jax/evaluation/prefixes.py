"""Features of codes at several prefix lengths, which only few codes are written out for.

Those of a million transitions, 16 slots of 8 numbers, would be 0.5 GB for every prefix length.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.models.bottleneck import null_fill
from flexlam_jax.models.translator import prefix_features

_WRITTEN_OUT = 2**26  # numbers


class Prefixes(NamedTuple):
    """The null-filled codes of N transitions at V prefix lengths.

    Attributes:
      slots: float32 (N, K, D).
      keep: int32 (V,), the prefix lengths.
      null: float32 (D,).
    """

    slots: jax.Array
    keep: jax.Array
    null: jax.Array

    @classmethod
    def of(cls, slots: np.ndarray, keep: Sequence[int], null: np.ndarray) -> "Prefixes":
        """Of arrays on the host."""
        return cls(
            jnp.asarray(slots, jnp.float32),
            jnp.asarray(keep, jnp.int32),
            jnp.asarray(null, jnp.float32),
        )

    def drawn(self, variant_B: jax.Array, rows_B: jax.Array) -> jax.Array:
        """Of each row at the prefix length of that number: features (B, K * D)."""
        return prefix_features(null_fill(self.slots[rows_B], self.keep[variant_B], self.null))

    def statistics(self) -> tuple[jax.Array, jax.Array]:
        """(mean, standard deviation) of every number of the features, float32 (K * D,) each, over all
        transitions and prefix lengths."""
        if self.slots.size * len(self.keep) <= _WRITTEN_OUT:
            features = jax.vmap(self._at)(self.keep)
            return features.mean((0, 1)), features.std((0, 1))
        # A slot is itself at some of the prefix lengths, and null at the others.
        shown = jnp.mean(jnp.arange(self.slots.shape[1]) < self.keep[:, None], axis=0)[:, None]
        mean = shown * self.slots.mean(0) + (1 - shown) * self.null
        far = jnp.square(self.slots - mean).mean(0), jnp.square(self.null - mean)
        return mean.reshape(-1), jnp.sqrt(shown * far[0] + (1 - shown) * far[1]).reshape(-1)

    def _at(self, keep: jax.Array) -> jax.Array:
        """Features (N, K * D) of one prefix length."""
        every = jnp.full(len(self.slots), keep)
        return prefix_features(null_fill(self.slots, every, self.null))
