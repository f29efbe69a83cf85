"""An image encoder for CPUs: few channels on cells of pixels, no strided convolution.

Resolution changes by space-to-depth, as strided convolutions are slow on XLA:CPU. See film.py for
the interface. Dimension keys: R pictures, H W C image, F condition, M width.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.film import Film, KeyPoints
from flexlam_jax.models.frame_stack import ResidualConv
from flexlam_jax.models.motion_decoder import space_to_depth


class LightEncoder(nn.Module):
    """Pictures (R, H, W, C), condition (R, F) or None -> (R, M)."""

    width: int
    patch: int = setting(4, range=COUNT, help="pixels of a cell's side")
    channels: int = setting(48, range=COUNT, help="of a cell")
    blocks: int = setting(2, range=whole(1, 1000), help="residual convolutions over the cells")
    points: int = setting(32, range=COUNT, help="key points that are read out")
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        """Raises ConfigError for frames that do not split into cells."""
        H, W = frames.shape[1:3]
        if H % self.patch or W % self.patch:
            raise ConfigError(
                f"model.encoder.patch={self.patch} does not fit {H}x{W} frames: the sides must be "
                "multiples of it"
            )
        cells = space_to_depth(frames - 0.5, self.patch)
        x = Dense(self.channels, dtype=self.dtype, name="cells")(cells)
        for number in range(self.blocks):
            x = ResidualConv(self.dtype, name=f"block_{number}")(x)
            x = Film(self.dtype, name=f"film_{number}")(x, condition)
        x = nn.gelu(nn.LayerNorm(dtype=jnp.float32, name="norm")(x)).astype(self.dtype)
        return KeyPoints(self.points, self.width, self.dtype, name="key_points")(x)
