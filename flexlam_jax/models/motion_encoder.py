"""The light encoder: local shift distributions -> dense -> slots. For CPUs and minutes."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, COUNT_OR_NONE, several, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.motion import average_pool, motion_features


class MotionEncoder(nn.Module):
    """Frames (B, T, H, W, C) float in [0, 1] -> (B, T-1, K, features).

    Fields: slots K and features per slot; hidden widths; windows (rows, columns); radius (dy, dx)
    and factor of the correlation search (see motion.motion_features); side of the pooled change,
    by which many slots learn what motion does not say.
    """

    slots: int
    features: int
    hidden: Sequence[int] = setting((256, 128), range=several(COUNT), help="hidden widths")
    windows: tuple[int, int] = setting(
        (4, 8), range=several(COUNT, 2), help="rows and columns of windows"
    )
    radius: tuple[int, int] = setting(
        (2, 8), range=several(whole(0, 64), 2), help="(dy, dx) of the correlation search"
    )
    factor: int = setting(2, range=COUNT, help="pooling before the search")
    change: int = setting(
        0, range=COUNT_OR_NONE, help="side of the pooled difference of the frames that is read too"
    )
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array) -> jax.Array:
        H, W = frames.shape[2:4]
        rows, columns = (self.factor * windows for windows in self.windows)
        if H % rows or W % columns:
            raise ConfigError(
                f"model.encoder.windows={tuple(self.windows)} with factor={self.factor} do not fit"
                f" {H}x{W} frames: the sides must be multiples of {rows} and {columns}"
            )
        x = motion_features(
            frames[:, :-1], frames[:, 1:], tuple(self.windows), tuple(self.radius), self.factor
        )
        x = x.reshape(*x.shape[:2], -1)
        change = self._change(frames) if self.change else x[..., :0]
        x = jnp.concatenate([x, change], axis=-1)
        for i, width in enumerate(self.hidden):
            x = Dense(width, dtype=self.dtype, name=f"hidden_{i}")(x)
            x = nn.gelu(nn.LayerNorm(dtype=jnp.float32, name=f"norm_{i}")(x))
        # Once more past the narrow hidden layers: many slots say more than those hold.
        x = jnp.concatenate([x, change.astype(x.dtype)], axis=-1)
        x = Dense(self.slots * self.features, dtype=jnp.float32, name="to_slots")(x)
        return x.reshape(*x.shape[:-1], self.slots, self.features)

    def _change(self, frames):
        """(B, T, H, W, C) -> (B, T-1, side * side * C)."""
        change = frames[:, 1:] - frames[:, :-1]
        H, W = change.shape[2:4]
        if H != W or H % self.change:
            raise ConfigError(
                f"model.encoder.change={self.change} does not divide frames of {H}x{W}, or they are"
                " not square"
            )
        pooled = average_pool(change, H // self.change)
        return pooled.reshape(*pooled.shape[:2], -1)
