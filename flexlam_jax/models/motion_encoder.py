"""The light encoder: correlation features -> dense -> slots. For CPUs and minutes, not for scale."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.models.dense import Dense
from flexlam_jax.models.motion import motion_features


class MotionEncoder(nn.Module):
    """Frames (B, T, H, W, C) float in [0, 1] -> (B, T-1, K, features).

    Fields: slots K and features per slot; hidden width; windows (rows, columns); radius (dy, dx) and factor of
    the correlation search (see motion.motion_features).
    """

    slots: int
    features: int
    hidden: int = 256
    windows: tuple[int, int] = (4, 8)
    radius: tuple[int, int] = (2, 8)
    factor: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array) -> jax.Array:
        x = motion_features(
            frames[:, :-1], frames[:, 1:], tuple(self.windows), tuple(self.radius), self.factor
        )
        # Per-window projection first: it shares weights over windows and narrows the dense layer behind it.
        x = nn.gelu(Dense(32, dtype=self.dtype, name="window")(x))
        x = x.reshape(*x.shape[:2], -1)
        x = nn.gelu(Dense(self.hidden, dtype=self.dtype, name="hidden_1")(x))
        x = nn.gelu(Dense(self.hidden, dtype=self.dtype, name="hidden_2")(x))
        x = Dense(self.slots * self.features, dtype=jnp.float32, name="to_slots")(x)
        return x.reshape(*x.shape[:-1], self.slots, self.features)
