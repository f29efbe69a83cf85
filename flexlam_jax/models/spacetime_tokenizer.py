"""The halves of a spatio-temporal tokenizer (ST-ViViT of Genie, arXiv 2402.15391, section 2.1).

A token tells of its frame and those before, a frame is decoded from its tokens and those before, so
clips are read at once in training, and frame by frame where they are played. See tokenizer.py for
the interface. Dimension keys: B rows, T frames, H W C image, N tokens, M width, D numbers of a code.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, one_of, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.patches import POSITIONS, Positions, grid_of, patchify, unpatchify
from flexlam_jax.models.spacetime import FrameCache, SpaceTimeStack, check_heads
from flexlam_jax.models.transformer import BlockSettings

_small = nn.initializers.truncated_normal(0.02)


class _SpaceTimeHalf(nn.Module):
    """What both halves are told."""

    image_size: Any
    block: BlockSettings
    patch: int = setting(4, range=COUNT, help="pixels of a token's side")
    width: int = setting(512, range=COUNT, help="of the blocks")
    blocks: int = setting(8, range=whole(1, 1000), help="how many blocks")
    window: int = setting(
        16, range=whole(1, 2**16), help="frames that a frame sees, itself included"
    )
    positions: str = setting("learned", range=one_of(POSITIONS), help="position embedding")

    @property
    def grid(self) -> tuple[int, int]:
        return grid_of(self.image_size, self.patch)

    @nn.nowrap
    def check(self, section: str) -> None:
        """Raises ConfigError for sizes of this section that do not go together."""
        check_heads(self.width, self.block.heads, f"{section}.")
        if self.positions == "sincos" and self.width % 4:
            raise ConfigError(
                f"{section}.width={self.width} is no multiple of 4, as 'sincos' needs"
            )


class SpaceTimeEncoder(_SpaceTimeHalf, kw_only=True):
    """Frames (B, T, H, W, C) float in [0, 1] -> features (B, T, N, `features`) float32."""

    features: int

    @nn.compact
    def __call__(self, frames: jax.Array) -> jax.Array:
        patches = patchify(frames - 0.5, self.patch)
        x = Dense(self.width, dtype=self.block.dtype, name="patch_embed")(patches)
        x = Positions(self.grid, self.positions, name="positions")(x)
        x = SpaceTimeStack(self.width, self.blocks, self.window, self.block, name="stack")(x)
        return Dense(self.features, dtype=jnp.float32, name="to_tokens")(x)


class SpaceTimeDecoder(_SpaceTimeHalf, kw_only=True):
    """Codes (B, T, N, D) -> frames (B, T, H, W, C) float32, not clipped to [0, 1]."""

    pixel_channels: int

    def setup(self) -> None:
        self.token_embed = Dense(self.width, dtype=self.block.dtype)
        self.place = Positions(self.grid, self.positions)
        # Not `blocks`, which is the field that says how many.
        self.stack = SpaceTimeStack(self.width, self.blocks, self.window, self.block)
        pixels = self.patch**2 * self.pixel_channels
        self.to_pixels = Dense(pixels, kernel_init=_small, dtype=jnp.float32)

    def __call__(self, values: jax.Array) -> jax.Array:
        return self._frames(self.stack(self._tokens(values)))

    def read(self, values: jax.Array) -> tuple[jax.Array, FrameCache]:
        """As `__call__`, and what later frames need of these."""
        x, past = self.stack.read(self._tokens(values))
        return self._frames(x), past

    def step(self, values: jax.Array, past: FrameCache) -> tuple[jax.Array, FrameCache]:
        """One new frame of every row, (B, 1, N, D) -> (B, 1, H, W, C), and what is then past."""
        x, frame = self.stack.step(self._tokens(values), past)
        return self._frames(x), past.write(frame)

    def _tokens(self, values):
        return self.place(self.token_embed(values))

    def _frames(self, x):
        return 0.5 + unpatchify(self.to_pixels(x), self.grid, self.patch)
