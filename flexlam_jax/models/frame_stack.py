"""The trunk of policies: what is seen in the last few frames, as one vector per time.

The frames are stacked on the channels before anything is learned, so that the first layer already
sees motion, which a policy that reads one frame lacks. Resolution changes by space-to-depth, as
strided convolutions are slow on XLA:CPU.

Dimension keys: B batch, T times, S frames of a stack, H W C image, M width.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import to_float
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.motion_decoder import space_to_depth


def stack_frames(frames: jax.Array, stack: int) -> jax.Array:
    """Frames (B, T, H, W, C) -> (B, T, H, W, S*C): time t holds the frames t-S+1 .. t, in order.

    Before the first frame of a clip the first is repeated.
    """
    times = frames.shape[1]
    padded = jnp.concatenate([frames[:, :1]] * (stack - 1) + [frames], axis=1)
    return jnp.concatenate([padded[:, i : i + times] for i in range(stack)], axis=-1)


class ResidualConv(nn.Module):
    """Residual 3x3 convolution on normalised features, (B, H, W, C) -> the same."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        z = nn.gelu(nn.LayerNorm(dtype=jnp.float32, name="norm")(x)).astype(self.dtype)
        return x + nn.Conv(x.shape[-1], (3, 3), dtype=self.dtype, name="conv")(z)


class FrameStackTrunk(nn.Module):
    """Frames (B, T, H, W, C), uint8 or float in [0, 1] -> (B, T, M) float32.

    Time t reads the `stack` frames that end with t; H and W are multiples of 2 * `patch`.
    """

    stack: int = setting(3, range=whole(1, 64), help="frames that a decision reads")
    patch: int = setting(8, range=COUNT, help="pixels of a cell's side")
    channels: int = setting(64, range=COUNT, help="of a cell")
    blocks: int = setting(1, range=whole(0, 1000), help="residual convolutions over the cells")
    coarse: int = setting(128, range=COUNT, help="channels of the cells of twice that side")
    width: int = setting(256, range=COUNT, help="numbers that stand for a time")
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array, last: int = 0) -> jax.Array:
        """`last` gives the last n times alone, (B, n, M), at the price of n; 0 gives all.

        Raises:
          ConfigError: the frames do not split into cells.
        """
        H, W = frames.shape[2:4]
        if H % (2 * self.patch) or W % (2 * self.patch):
            raise ConfigError(
                f"model.trunk.patch={self.patch} does not fit {H}x{W} frames: the sides must be "
                f"multiples of {2 * self.patch}"
            )
        read = frames[:, -(self.stack - 1 + last) :] if last else frames
        frames = stack_frames(read, self.stack)[:, -last:]  # [:, 0:] is all of them.
        B, T = frames.shape[:2]

        def dense(width, name):
            return Dense(width, dtype=self.dtype, name=name)

        def norm(name):
            return nn.LayerNorm(dtype=jnp.float32, name=name)

        x = to_float(space_to_depth(frames.reshape(B * T, *frames.shape[2:]), self.patch))
        x = norm("cells_norm")(dense(self.channels, "cells")(x))
        for i in range(self.blocks):
            x = ResidualConv(self.dtype, name=f"block_{i}")(x)
        x = nn.gelu(dense(self.coarse, "coarse")(space_to_depth(nn.gelu(x), 2)))
        x = dense(self.width, "flat")(x.reshape(B, T, -1))
        return nn.gelu(norm("flat_norm")(x)).astype(jnp.float32)


TRUNKS = {"frame_stack": FrameStackTrunk}  # What `model.trunk.kind` chooses among.
