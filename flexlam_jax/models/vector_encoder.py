"""The encoder of vectors: what was known at t, and what changed until t + 1 -> slots.

Beside a small network it holds the linear latent action model z = C o + D o' (arXiv 2506.15691) as
a path of its own, so that what is linear in the data is learned in few updates.

Dimension keys: B batch, T instants of a clip, S columns, H history, K slots.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, Range, one_of, real, several
from flexlam_jax.config.settings import setting
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.vector_windows import MEMORIES, WindowReader, now

_POSITIVE = several(real(0, above=True))
SCALES = Range(
    "numbers above 0 in brackets, one for each column of the observation, or ()",
    lambda value: value == () or value == [] or _POSITIVE.holds(value),
)


class VectorEncoder(nn.Module):
    """Frames (B, T, S, H, 1) of vector_windows.py -> (B, T-1, K, features) float32.

    Fields: slots K and features per slot; widths of the hidden layers; memory, how the history is
    read (see WindowReader), and scales of the levels.
    """

    slots: int
    features: int
    widths: Sequence[int] = setting((128, 128), range=several(COUNT), help="of the hidden layers")
    memory: str = setting("flat", range=one_of(MEMORIES), help="how the history is read")
    scales: Sequence[float] = setting(
        (), range=SCALES, help="what levels are divided by; a run finds them in its data"
    )
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array) -> jax.Array:
        change = now(frames[:, 1:]) - now(frames[:, :-1])
        known = WindowReader(self.memory, self.widths[0], self.scales, self.dtype, name="known")
        given = jnp.concatenate([change, known(frames[:, :-1])], axis=-1)
        x = Hidden(self.widths, self.dtype, name="hidden")(given)
        x = jnp.concatenate([x, given], axis=-1)
        x = Dense(self.slots * self.features, dtype=jnp.float32, name="to_slots")(x)
        return x.reshape(*x.shape[:-1], self.slots, self.features)


class Hidden(nn.Module):
    """(..., M) -> (..., last of the widths) float32."""

    widths: Sequence[int]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for number, width in enumerate(self.widths):
            x = Dense(width, dtype=self.dtype, name=f"layer_{number}")(x)
            x = nn.gelu(nn.LayerNorm(dtype=jnp.float32, name=f"norm_{number}")(x))
        return x
