"""The ViT encoder (inverse dynamics): K slot queries read a pair of frames.

Every frame of a clip is tokenised once and passes `frame_blocks` blocks of its own; the result is
shared by the two pairs that the frame belongs to. Then `pair_blocks` joint blocks run on
[K slot queries ; patches of o_t ; patches of o_{t+1}]. Nothing mixes pairs, so encoding a clip
equals encoding its pairs.

Dimension keys: B batch, T frames, N patches, M width, K slots.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, SWITCH, one_of, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.motion import motion_features
from flexlam_jax.models.patches import POSITIONS, Positions, grid_of, patchify
from flexlam_jax.models.transformer import Block, BlockSettings, RMSNorm, Transformer

_small = nn.initializers.truncated_normal(0.02)


class VitEncoder(nn.Module):
    """Frames (B, T, H, W, C) float in [0, 1] -> (B, T-1, K, features) float32.

    Fields:
      block: what its blocks are.  patch, width M, positions: of the ViT.
      frame_blocks: blocks on each frame alone (may be 0).
      pair_blocks: joint blocks on a pair (at least 1). The last one computes its slot tokens only,
        because nothing reads its patch tokens.
      motion_tokens: adds to each patch of o_{t+1} an embedding of the local correlation with o_t
        (motion.py).
    """

    slots: int
    features: int
    image_size: Any
    block: BlockSettings
    patch: int = setting(8, range=COUNT, help="pixels of a patch's side")
    width: int = setting(256, range=COUNT, help="width of the tokens")
    frame_blocks: int = setting(2, range=whole(0, 10_000), help="blocks on each frame alone")
    pair_blocks: int = setting(2, range=whole(1, 10_000), help="joint blocks on a pair")
    motion_tokens: bool = setting(
        False, range=SWITCH, help="adds to each patch its correlation with the frame before"
    )
    positions: str = setting("learned", range=one_of(POSITIONS), help="position embedding")

    @nn.compact
    def __call__(self, frames: jax.Array) -> jax.Array:
        if self.pair_blocks < 1:
            raise ConfigError("model.encoder.pair_blocks must be at least 1: it reads the slots")
        grid = grid_of(self.image_size, self.patch)
        tokens = self._stack(self.frame_blocks, "frame_blocks")(self._embed(frames, grid))
        x = self._pair_tokens(frames, tokens, grid)
        x = self._stack(self.pair_blocks - 1, "pair_blocks")(x)
        x = Block(self.block, name="read_block")(x, queries=self.slots)
        x = RMSNorm(name="norm")(x)
        return Dense(self.features, dtype=jnp.float32, name="to_slots")(x)

    def _stack(self, layers, name):
        return Transformer(layers, self.block, name=name)

    def _embed(self, frames, grid):
        """(B, T, H, W, C) -> (B, T, N, M)."""
        # Pixels are centred so that the embedding does not start with a large common offset.
        patches = patchify(frames - 0.5, self.patch)
        x = Dense(self.width, dtype=self.block.dtype, name="patch_embed")(patches)
        return Positions(grid, self.positions, name="positions")(x)

    def _pair_tokens(self, frames, tokens_BTNM, grid):
        """(B, T-1, K + 2N, M): slot queries, patches of o_t, patches of o_{t+1}."""
        B, T, N, M = tokens_BTNM.shape
        role = self.param("frame_role", _small, (2, M), jnp.float32).astype(self.block.dtype)
        first = tokens_BTNM[:, :-1] + role[0]
        second = tokens_BTNM[:, 1:] + role[1]
        if self.motion_tokens:
            # About four pooled pixels per patch side: cheap, and reaches 16 pixels far.
            factor = max(f for f in range(1, max(1, self.patch // 4) + 1) if self.patch % f == 0)
            motion = motion_features(frames[:, :-1], frames[:, 1:], grid, (2, 8), factor)
            motion = motion.reshape(B, T - 1, N, -1)
            second = second + Dense(M, dtype=self.block.dtype, name="motion_embed")(motion)
        queries = self.param("slot_queries", _small, (self.slots, M), jnp.float32)
        queries = jnp.broadcast_to(queries.astype(self.block.dtype), (B, T - 1, self.slots, M))
        return jnp.concatenate([queries, first, second], axis=-2)
