"""The ViT decoder (forward dynamics): o_t and the null-filled slots -> o_{t+1}.

It is given o_t and the slots, and nothing computed from o_{t+1}. Conditioning:
  'self'   slot tokens stand beside the patches in self-attention,
  'cross'  every block cross-attends from the patches to the slot tokens,
  'add'    one embedding of all slots is added to every patch, as Genie adds its action
           (arXiv 2402.15391): the cheapest, as the blocks see no more tokens than patches.
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
from flexlam_jax.models.transformer import BlockSettings, RMSNorm, Transformer

_small = nn.initializers.truncated_normal(0.02)
CONDITIONING = ("self", "cross", "add")


class VitDecoder(nn.Module):
    """o_t (..., H, W, C) float in [0, 1], slots (..., K, D) -> (..., H, W, C) float32.

    Fields: block, what its blocks are; patch, width M, positions of the ViT; how many blocks;
      conditioning, one of CONDITIONING.
    """

    image_size: Any
    block: BlockSettings
    patch: int = setting(8, range=COUNT, help="pixels of a patch's side")
    width: int = setting(256, range=COUNT, help="width of the tokens")
    blocks: int = setting(4, range=whole(0, 10_000), help="how many blocks")
    conditioning: str = setting(
        "self", range=one_of(CONDITIONING), help="how blocks read the slots"
    )
    positions: str = setting("learned", range=one_of(POSITIONS), help="position embedding")

    @nn.compact
    def __call__(self, o_t: jax.Array, slots: jax.Array) -> jax.Array:
        if self.conditioning not in CONDITIONING:
            raise ConfigError(
                f"model.decoder.conditioning={self.conditioning!r} is unknown; choose one of"
                f" {CONDITIONING}"
            )
        grid = grid_of(self.image_size, self.patch)
        dtype = self.block.dtype
        x = Dense(self.width, dtype=dtype, name="patch_embed")(patchify(o_t - 0.5, self.patch))
        x = Positions(grid, self.positions, name="positions")(x)
        cross = self.conditioning == "cross"
        trunk = Transformer(self.blocks, self.block, cross, name="blocks")
        if cross:
            x = trunk(x, self._slot_tokens(slots))
        elif self.conditioning == "add":
            # Flattened: every slot has weights of its own, where a sum would not know their order.
            code = slots.reshape(*slots.shape[:-2], 1, -1)
            x = trunk(x + Dense(self.width, dtype=dtype, name="code_embed")(code))
        else:
            tokens = jnp.concatenate([self._slot_tokens(slots), x], axis=-2)
            x = trunk(tokens)[..., slots.shape[-2] :, :]
        x = RMSNorm(name="norm")(x)
        pixels = Dense(
            self.patch**2 * o_t.shape[-1], kernel_init=_small, dtype=jnp.float32, name="to_pixels"
        )(x)
        return unpatchify(pixels, grid, self.patch)

    def _slot_tokens(self, slots):
        """(..., K, D) -> (..., K, M); the position tells null slots apart."""
        x = Dense(self.width, dtype=self.block.dtype, name="slot_embed")(slots)
        order = self.param("slot_order", _small, (slots.shape[-2], self.width), jnp.float32)
        return x + order.astype(x.dtype)
