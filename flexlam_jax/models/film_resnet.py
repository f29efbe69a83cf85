"""The image encoder of BAKU (arXiv 2406.07539): the first half of a ResNet-18, told the task by FiLM.

Trained from scratch. BatchNorm is replaced by GroupNorm, whose output does not depend on the other
rows of a batch; the four residual blocks of the stages of 64 and 128 channels are kept, FiLM follows
each, and key points are read out. See film.py for the interface.

Dimension keys: R pictures, H W C image, F condition, M width.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT
from flexlam_jax.config.settings import setting
from flexlam_jax.models.film import Film, KeyPoints

_he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_GROUP = 16  # channels that are normalised together


class FilmResNet(nn.Module):
    """Pictures (R, H, W, C), condition (R, F) or None -> (R, M); H and W at least 16.

    The convolutions reduce both sides by 8.
    """

    width: int
    channels: int = setting(
        64, range=COUNT, help="of the first stage; the second has twice as many"
    )
    points: int = setting(256, range=COUNT, help="key points that are read out")
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        x = _conv(self.channels, 7, 2, self.dtype, "stem")(frames.astype(self.dtype))
        x = nn.relu(_norm(self.channels, "stem_norm")(x)).astype(self.dtype)
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for number, (factor, stride) in enumerate(((1, 1), (1, 1), (2, 2), (2, 1))):
            block = ResidualBlock(
                factor * self.channels, stride, self.dtype, name=f"block_{number}"
            )
            x = Film(self.dtype, name=f"film_{number}")(block(x), condition)
        return KeyPoints(self.points, self.width, self.dtype, name="key_points")(x)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a short cut, (R, H, W, C) -> (R, H/s, W/s, channels)."""

    channels: int
    stride: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        z = _conv(self.channels, 3, self.stride, self.dtype, "conv_1")(x)
        z = nn.relu(_norm(self.channels, "norm_1")(z)).astype(self.dtype)
        z = _norm(self.channels, "norm_2")(_conv(self.channels, 3, 1, self.dtype, "conv_2")(z))
        if x.shape != z.shape:
            x = _conv(self.channels, 1, self.stride, self.dtype, "short_cut")(x)
            x = _norm(self.channels, "short_cut_norm")(x)
        return nn.relu(x + z).astype(self.dtype)


def _conv(channels: int, size: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    return nn.Conv(
        channels,
        (size, size),
        strides=(stride, stride),
        padding=size // 2,
        use_bias=False,
        kernel_init=_he,
        dtype=dtype,
        name=name,
    )


def _norm(channels: int, name: str) -> nn.GroupNorm:
    """In float32; one group where the channels do not split into groups."""
    groups = channels // _GROUP if channels % _GROUP == 0 else 1
    return nn.GroupNorm(num_groups=groups, dtype=jnp.float32, name=name)
