"""Causal transformer blocks that go on from the keys and values of what they have read.

Reading a sequence at once, or a prefix first and the rest token by token, gives the same numbers.

Dimension keys: B batch, L new tokens, S tokens read before, M width, H heads, E head width, layers
first in what a stack keeps.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.attention import attend
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.rotary import rotate
from flexlam_jax.models.transformer import MLP, PROJECTION, BlockSettings, RMSNorm, scanned

# Keys and values (B, S, H, E) of one layer; of a stack, (layers, B, S, H, E).
KeysValues = tuple[jax.Array, jax.Array]


class CausalAttention(nn.Module):
    """Multi-head self-attention of new tokens to those read before and to themselves."""

    settings: BlockSettings

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        past: KeysValues | None = None,
        mask: jax.Array | None = None,
        positions: jax.Array | None = None,
    ) -> tuple[jax.Array, KeysValues]:
        """See `CausalTransformer`; of one layer. Batch axes may be any number, (..., L, M)."""
        M, heads, dtype = x.shape[-1], self.settings.heads, self.settings.dtype
        if M % heads:
            raise ConfigError(f"model width {M} is not divisible by {heads} heads")
        # Heads come first, as in transformer.Attention, for the same sharding rules.
        qkv = Dense((heads, 3, M // heads), use_bias=False, dtype=dtype, name="qkv")(x)
        qkv = checkpoint_name(qkv, PROJECTION)
        q, k, v = (qkv[..., i, :] for i in range(3))
        if self.settings.qk_norm:
            q, k = RMSNorm(dtype, name="q_norm")(q), RMSNorm(dtype, name="k_norm")(k)
        if positions is not None:
            q, k = rotate(q, positions), rotate(k, positions)
        if past is not None:
            k, v = (jnp.concatenate(pair, axis=-3) for pair in zip(past, (k, v), strict=True))
        out = attend(
            q, k, v, mask=mask, causal=mask is None, implementation=self.settings.attention
        )
        out = out.reshape(*out.shape[:-2], M)
        out = Dense(M, use_bias=False, dtype=dtype, name="out")(out)
        return checkpoint_name(out, PROJECTION), (k, v)


class CausalBlock(nn.Module):
    """Pre-norm block: causal attention, MLP."""

    settings: BlockSettings

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        past: KeysValues | None = None,
        mask: jax.Array | None = None,
        positions: jax.Array | None = None,
    ) -> tuple[jax.Array, KeysValues]:
        """See `CausalTransformer`; of one layer."""
        dtype = self.settings.dtype
        attention = CausalAttention(self.settings, name="attention")
        z, read = attention(RMSNorm(dtype, name="attention_norm")(x), past, mask, positions)
        x = x + z
        z = RMSNorm(dtype, name="mlp_norm")(x)
        return x + MLP(self.settings.mlp_hidden, dtype, name="mlp")(z), read


class CausalTransformer(nn.Module):
    """`layers` causal blocks with stacked parameters (leading axis = layer), scanned."""

    layers: int
    settings: BlockSettings

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        past: KeysValues | None = None,
        mask: jax.Array | None = None,
        positions: jax.Array | None = None,
    ) -> tuple[jax.Array, KeysValues]:
        """Reads new tokens.

        Args:
          x: (B, L, M).
          past: what the call before returned; None at the start of a sequence.
          mask: bool (L, S + L), or (B, 1, L, S + L) where rows differ, True = may attend; needed
            with `past`. None = causal.
          positions: (B, L) of the new tokens, by which queries and keys are rotated (rotary.py);
            None leaves it to x to say where a token stands.

        Returns:
          (x (B, L, M), keys and values of all S + L tokens).
        """

        def body(block: CausalBlock, x: jax.Array, past: Any) -> tuple[jax.Array, KeysValues]:
            return block(x, past, mask, positions)

        block = CausalBlock(self.settings, name="layers")
        return scanned(body, self.layers, self.settings)(block, x, past)
