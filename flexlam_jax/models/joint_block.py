"""The joint attention block of Stable Diffusion 3 (arXiv 2403.03206, section 4 and figure 2).

Image tokens and context tokens have parameters of their own and meet in one attention. The condition
(time, pooled context) shifts and scales what both streams read and gates what they add.

Dimension keys: B rows, N image tokens, S context tokens, L any of both, M width, H heads, E head
width, P modulations.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from flexlam_jax.models.attention import attend
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.transformer import PROJECTION, BlockSettings, RMSNorm

EPSILON = 1e-6
# Shift, scale and gate of the attention and of the MLP, in this order; a dual block has three more,
# of its second attention, and the context of a last block only shift and scale.
MODULATIONS, DUAL, READ_ONLY = 6, 9, 2


def layer_norm(x: jax.Array) -> jax.Array:
    """Normalises the last axis in float32; without parameters, which the modulation has."""
    x = x.astype(jnp.float32)
    x = x - jnp.mean(x, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON)


def modulate(x: jax.Array, shift: jax.Array, scale: jax.Array) -> jax.Array:
    """x (B, L, M) with shift and scale (B, 1, M) in float32, cast to the type of the modulation."""
    dtype = shift.dtype
    return (x * (1 + scale.astype(jnp.float32)) + shift.astype(jnp.float32)).astype(dtype)


class Modulation(nn.Module):
    """Condition (B, M) -> `parts` arrays (B, 1, M). All zero at first, so that a new block adds
    nothing (adaLN-Zero, arXiv 2212.09748)."""

    parts: int
    settings: BlockSettings

    @nn.compact
    def __call__(self, condition: jax.Array) -> list[jax.Array]:
        shape, dtype = (self.parts, condition.shape[-1]), self.settings.dtype
        zeros = nn.initializers.zeros
        out = Dense(shape, dtype=dtype, kernel_init=zeros, name="dense")(nn.silu(condition))
        return [out[:, None, part] for part in range(self.parts)]


class AttentionEnds(nn.Module):
    """What lies before and behind an attention that several streams share; with biases."""

    width: int
    settings: BlockSettings

    def setup(self) -> None:
        heads, dtype = self.settings.heads, self.settings.dtype
        # Heads come first, as in transformer.Attention: tensor parallelism then gathers nothing.
        self.qkv = Dense((heads, 3, self.width // heads), dtype=dtype)
        self.out = Dense(self.width, dtype=dtype)
        if self.settings.qk_norm:
            self.q_norm, self.k_norm = RMSNorm(dtype), RMSNorm(dtype)

    def project(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """x (B, L, M) -> queries, keys, values, each (B, L, H, E)."""
        q, k, v = jnp.unstack(checkpoint_name(self.qkv(x), PROJECTION), axis=-2)
        return (self.q_norm(q), self.k_norm(k), v) if self.settings.qk_norm else (q, k, v)

    def finish(self, attended: jax.Array) -> jax.Array:
        """(B, L, H, E) -> (B, L, M)."""
        attended = attended.reshape(*attended.shape[:-2], self.width)
        return checkpoint_name(self.out(attended), PROJECTION)


class BiasedMLP(nn.Module):
    """Dense-GELU-Dense with biases; the tanh form of GELU."""

    hidden: int
    settings: BlockSettings

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        z = Dense(self.hidden, dtype=self.settings.dtype, name="up")(x)
        z = nn.gelu(z, approximate=True)
        return Dense(x.shape[-1], dtype=self.settings.dtype, name="down")(z)


class Stream(nn.Module):
    """What of a block acts on the tokens of one kind alone."""

    width: int
    modulations: int
    settings: BlockSettings

    def setup(self) -> None:
        self.modulation = Modulation(self.modulations, self.settings)
        self.attention = AttentionEnds(self.width, self.settings)
        if self.modulations == DUAL:
            self.self_attention = AttentionEnds(self.width, self.settings)
        if self.modulations != READ_ONLY:
            self.mlp = BiasedMLP(self.settings.mlp_hidden, self.settings)

    def close(self, x: jax.Array, attended: jax.Array, modulation: list[jax.Array]) -> jax.Array:
        """Adds what the joint attention, a second one over x alone, and the MLP give."""
        gate, mlp_shift, mlp_scale, mlp_gate = modulation[2:MODULATIONS]
        y = x + gate * self.attention.finish(attended)
        if self.modulations == DUAL:
            shift, scale, gate = modulation[MODULATIONS:]
            q, k, v = self.self_attention.project(modulate(layer_norm(x), shift, scale))
            attended = attend(q, k, v, implementation=self.settings.attention)
            y = y + gate * self.self_attention.finish(attended)
        return y + mlp_gate * self.mlp(modulate(layer_norm(y), mlp_shift, mlp_scale))


class JointBlock(nn.Module):
    """A block of an MMDiT.

    Fields:
      width: M.
      dual: the image tokens also attend to themselves alone (Stable Diffusion 3.5 medium).
      last: nobody reads the context behind this block: it is read and given back as it was. Its
        queries have parameters all the same, as in the published checkpoints.
    """

    width: int
    settings: BlockSettings
    dual: bool = False
    last: bool = False

    @nn.compact
    def __call__(
        self, image: jax.Array, context: jax.Array, condition: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """image (B, N, M), context (B, S, M), condition (B, M) -> (image, context)."""
        N = image.shape[1]
        image_parts, context_parts = (
            DUAL if self.dual else MODULATIONS,
            READ_ONLY if self.last else MODULATIONS,
        )
        streams = (
            Stream(self.width, image_parts, self.settings, name="image"),
            Stream(self.width, context_parts, self.settings, name="context"),
        )
        modulations = [stream.modulation(condition) for stream in streams]
        (q, k, v), (q_context, k_context, v_context) = (
            stream.attention.project(modulate(layer_norm(x), *modulation[:2]))
            for stream, x, modulation in zip(streams, (image, context), modulations, strict=True)
        )
        k = jnp.concatenate([k, k_context], axis=1)
        v = jnp.concatenate([v, v_context], axis=1)
        if not self.last:
            q = jnp.concatenate([q, q_context], axis=1)
        attended = attend(q, k, v, implementation=self.settings.attention)
        image = streams[0].close(image, attended[:, :N], modulations[0])
        if not self.last:
            context = streams[1].close(context, attended[:, N:], modulations[1])
        return image, context
