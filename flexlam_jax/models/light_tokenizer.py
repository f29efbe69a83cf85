"""The halves of a light tokenizer: each frame by itself, by few channels on cells. For CPUs.

Resolution changes by space-to-depth, as strided convolutions are slow on XLA:CPU. See tokenizer.py
for the interface. Dimension keys: B rows, T frames, H W C image, N tokens, D numbers of a code.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.frame_stack import ResidualConv
from flexlam_jax.models.motion_decoder import depth_to_space, space_to_depth
from flexlam_jax.models.patches import grid_of

_small = nn.initializers.truncated_normal(0.02)
_BLOCK_COUNT = whole(1, 1000)


class _LightHalf(nn.Module):
    """What both halves are told. Their defaults are those of the encoder."""

    image_size: Any
    patch: int = setting(8, range=COUNT, help="pixels of a token's side")
    cell: int = setting(4, range=COUNT, help="pixels of a fine cell's side; divides the patch")
    channels: int = setting(48, range=COUNT, help="of a fine cell")
    coarse: int = setting(96, range=COUNT, help="channels of a token's cell")
    blocks: int = setting(1, range=_BLOCK_COUNT, help="how many blocks, of each kind of cells")
    dtype: Any = jnp.float32

    window = 1  # Frames do not see each other.

    @property
    def grid(self) -> tuple[int, int]:
        return grid_of(self.image_size, self.patch)

    @nn.nowrap
    def check(self, section: str) -> None:
        """Raises ConfigError for sizes of this section that do not go together."""
        if self.patch % self.cell:
            raise ConfigError(
                f"{section}.cell={self.cell} does not divide {section}.patch={self.patch}, the side "
                "of a token"
            )


class LightTokenEncoder(_LightHalf, kw_only=True):
    """Frames (B, T, H, W, C) float in [0, 1] -> features (B, T, N, `features`) float32."""

    features: int

    @nn.compact
    def __call__(self, frames: jax.Array) -> jax.Array:
        ratio = self.patch // self.cell
        B, T = frames.shape[:2]
        x = space_to_depth(frames.reshape(B * T, *frames.shape[2:]) - 0.5, self.cell)
        x = Dense(self.channels, dtype=self.dtype, name="cells")(x)
        x = nn.gelu(_blocks(self, "fine")(x))
        x = Dense(self.coarse, dtype=self.dtype, name="coarse")(space_to_depth(x, ratio))
        x = _blocks(self, "coarse")(x)
        x = nn.gelu(nn.LayerNorm(dtype=jnp.float32, name="norm")(x))
        x = Dense(self.features, dtype=jnp.float32, name="to_tokens")(x)
        return x.reshape(B, T, -1, self.features)


class LightTokenDecoder(_LightHalf, kw_only=True):
    """Codes (B, T, N, D) -> frames (B, T, H, W, C) float32, not clipped to [0, 1]."""

    pixel_channels: int
    blocks: int = setting(2, range=_BLOCK_COUNT, help="how many blocks, of each kind of cells")

    @nn.compact
    def __call__(self, values: jax.Array) -> jax.Array:
        ratio = self.patch // self.cell
        B, T = values.shape[:2]
        x = values.reshape(B * T, *self.grid, values.shape[-1])
        x = Dense(self.coarse, dtype=self.dtype, name="tokens")(x)
        x = nn.gelu(_blocks(self, "coarse")(x))
        x = Dense(ratio**2 * self.channels, dtype=self.dtype, name="cells")(x)
        x = _blocks(self, "fine")(depth_to_space(x, ratio))
        x = nn.gelu(nn.LayerNorm(dtype=jnp.float32, name="norm")(x))
        x = Dense(
            self.cell**2 * self.pixel_channels,
            kernel_init=_small,
            dtype=jnp.float32,
            name="to_pixels",
        )(x)
        frames = 0.5 + depth_to_space(x, self.cell)
        return frames.reshape(B, T, *frames.shape[1:])

    def read(self, values: jax.Array) -> tuple[jax.Array, tuple[()]]:
        """As `__call__`, and what later frames need of these: nothing."""
        return self(values), ()

    def step(self, values: jax.Array, past: tuple[()]) -> tuple[jax.Array, tuple[()]]:
        """As `__call__`, of one new frame."""
        return self(values), past


class _Blocks(nn.Module):
    """Residual convolutions, (R, H, W, C) -> the same."""

    count: int
    dtype: Any

    @nn.compact
    def __call__(self, x):
        for number in range(self.count):
            x = ResidualConv(self.dtype, name=f"block_{number}")(x)
        return x


def _blocks(half, cells):
    return _Blocks(half.blocks, half.dtype, name=f"{cells}_blocks")
