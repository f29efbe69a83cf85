"""Observations that are vectors, as the frames that a latent action model takes.

A vector is a picture of S rows, one number each, and its history runs along the width: frames of
(S, H, 1), the last column being now. So masks of pixels, prefixes, quantisers and terms of the loss
serve vectors as they stand.

Dimension keys: ... batch axes, T instants, S columns of the vector, H instants of history, M width.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.errors import ConfigError

MEMORIES = ("flat", "gru", "none")


def windows(vectors_BTS: jax.Array, history: int) -> jax.Array:
    """(B, T, S) -> frames (B, T, S, H, 1): each instant with the H - 1 before it.

    Before the first instant there is nothing to know: it stands for what was before it, as in the
    stacks of frames that agents read.
    """
    T = vectors_BTS.shape[1]
    instants = jnp.arange(T)[:, None] + jnp.arange(1 - history, 1)  # (T, H)
    return jnp.swapaxes(vectors_BTS[:, jnp.maximum(instants, 0)], -1, -2)[..., None]


def now(frames: jax.Array) -> jax.Array:
    """Frames (..., S, H, 1) -> the vectors (..., S) of their last instant."""
    return frames[..., -1, 0]


class WindowReader(nn.Module):
    """Frames (..., S, H, 1) -> features (..., M) of what was observed up to now.

    Changes come in the units of the frames, in which they are about 1, and levels divided by
    `scales`, so that both can be read whatever one is beside the other.

    Fields:
      memory: "flat": the level now and the H - 1 changes before it, side by side.
        "gru": a recurrent network over the instants, and the level now.
        "none": the level now alone. A decoder without memory leaves to the code what one with a
        memory would predict: what is done for as long as an operator leaves a switch alone.
      width: of the recurrent network.
      scales: S numbers, or () for ones.
    """

    memory: str
    width: int
    scales: Sequence[float]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array) -> jax.Array:
        rows = jnp.swapaxes(frames[..., 0], -1, -2)  # (..., H, S)
        *batch, H, S = rows.shape
        if len(self.scales) not in (0, S):
            raise ConfigError(
                f"model.encoder.scales and model.decoder.scales hold {len(self.scales)} numbers, "
                f"the observations {S}; leave them out, a run finds them"
            )
        levels = rows / jnp.asarray(self.scales or 1.0, rows.dtype)
        changes = rows[..., 1:, :] - rows[..., :-1, :]
        if self.memory == "flat":
            parts = [levels[..., -1, :], changes.reshape(*batch, -1)]
        elif self.memory == "gru":
            # Before the first instant nothing changed.
            changes = jnp.concatenate([jnp.zeros_like(levels[..., :1, :]), changes], axis=-2)
            sequence = jnp.concatenate([levels, changes], axis=-1).reshape(-1, H, 2 * S)
            cell = nn.GRUCell(self.width, dtype=self.dtype, name="gru")
            read: Any = nn.RNN(cell, name="over_time")(sequence.astype(self.dtype))
            parts = [levels[..., -1, :], read[:, -1].reshape(*batch, -1).astype(rows.dtype)]
        elif self.memory == "none":
            parts = [levels[..., -1, :]]
        else:
            raise ConfigError(f"memory={self.memory!r} is unknown; choose one of {MEMORIES}")
        return jnp.concatenate(parts, axis=-1)
