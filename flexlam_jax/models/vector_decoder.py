"""The decoder of vectors: what was known at t, and the null-filled slots -> o_{t+1}.

It is given o_t with its history and the slots, and nothing computed from o_{t+1}.

Dimension keys: ... batch axes, S columns, H history, K slots, D slot width.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, one_of, several
from flexlam_jax.config.settings import setting
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.vector_encoder import SCALES, Hidden
from flexlam_jax.models.vector_windows import MEMORIES, WindowReader

_small = nn.initializers.truncated_normal(0.02)


class VectorDecoder(nn.Module):
    """o_t (..., S, H, 1), slots (..., K, D) -> the change to the next frame, (..., S, H, 1).

    Of the next frame only the last instant is to be predicted: the others are o_t moved on by one.
    So the model around it adds what comes out to o_t (model.residual).

    Fields: as VectorEncoder.
    """

    widths: Sequence[int] = setting((128, 128), range=several(COUNT), help="of the hidden layers")
    memory: str = setting("flat", range=one_of(MEMORIES), help="how the history is read")
    scales: Sequence[float] = setting(
        (), range=SCALES, help="what levels are divided by; a run finds them in its data"
    )
    dtype: Any = jnp.float32

    bounds = (None, None)  # Of what is predicted; pictures lie in [0, 1].

    @nn.compact
    def __call__(self, o_t: jax.Array, slots: jax.Array) -> jax.Array:
        known = WindowReader(self.memory, self.widths[0], self.scales, self.dtype, name="known")
        code = slots.reshape(*slots.shape[:-2], -1).astype(o_t.dtype)
        given = jnp.concatenate([known(o_t), code], axis=-1)
        x = Hidden(self.widths, self.dtype, name="hidden")(given)
        x = jnp.concatenate([x, given], axis=-1)
        S = o_t.shape[-3]
        change = Dense(S, kernel_init=_small, dtype=jnp.float32, name="to_change")(x)
        moved_on = o_t[..., 1:, :] - o_t[..., :-1, :]
        return jnp.concatenate([moved_on, change[..., None, None]], axis=-2)
