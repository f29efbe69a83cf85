"""Pre-norm transformer blocks and a scanned, rematerialised stack of them.

Dimension keys: ... batch axes, L tokens, S context tokens, M width, H heads, E head width, F MLP.
Parameters are float32; matmuls and the residual stream are in `dtype`; norms, attention logits and
softmax are float32 always.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from flexlam_jax.config.ranges import COUNT, SWITCH
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.attention import attend
from flexlam_jax.models.dense import Dense

PROJECTION = "attention_projection"
# What the backward pass finds saved of a block beside its input; the rest it computes again. Saved
# numbers per token (input included) and FLOPs of forward and backward pass, of a block in bfloat16
# with an MLP of 4 M on 64 tokens; without remat 48 M, as norms and softmax save float32, and 1.00:
REMAT_POLICIES: dict[str, Callable | None] = {
    # Nothing: M, 1.23.
    "full": None,
    # Queries, keys, values and the attention's output: 5 M, 1.12.
    "mlp": jax.checkpoint_policies.save_only_these_names(PROJECTION),
    # All matrix products but the attention's own: 9 M, 1.01.
    "dots": jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims,
}
REMAT_NAMES = ("none", *REMAT_POLICIES)


@dataclasses.dataclass(frozen=True)
class BlockSettings:
    """What every block of a stack is, wherever the stack stands.

    Attributes:
      heads: attention heads H; they divide the width M.
      mlp_hidden: hidden units F of the MLP.
      qk_norm: normalises queries and keys (RMS per head, arXiv 2302.05442), which keeps the logits
        bounded: large and half-precision models need it, small float32 ones can spare its cost.
      dtype: of matmuls and of the residual stream.
      attention: one of `attention.IMPLEMENTATIONS`.
      remat: 'none' or a key of REMAT_POLICIES.
      unroll: unroll the scan in the compiled program. The parameters stay stacked; on CPU the
        loop's copies of saved activations cost more than the larger program.

    Raises ConfigError for an unknown remat policy.
    """

    heads: int = setting(8, range=COUNT, help="attention heads")
    mlp_hidden: int = setting(1024, range=COUNT, help="hidden units of the MLP")
    qk_norm: bool = setting(True, range=SWITCH, help="normalises queries and keys")
    dtype: Any = jnp.float32
    attention: str = "auto"
    remat: str = "none"
    unroll: bool = False

    def __post_init__(self):
        if self.remat not in REMAT_NAMES:
            raise ConfigError(f"remat={self.remat!r} is unknown; choose one of {REMAT_NAMES}")


class RMSNorm(nn.Module):
    """Root-mean-square norm of the last axis with a learned scale, in float32, cast to `dtype`."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        inverse = jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
        return (x * inverse * scale).astype(self.dtype)


class Attention(nn.Module):
    """Multi-head attention, without biases.

    `__call__(x)` is self-attention with one fused kernel. With `source` the queries come from x and
    the keys and values from `source`, and the kernels are two.
    """

    settings: BlockSettings

    @nn.compact
    def __call__(
        self, x: jax.Array, source: jax.Array | None = None, *, causal: bool = False
    ) -> jax.Array:
        M, heads, dtype = x.shape[-1], self.settings.heads, self.settings.dtype
        if M % heads:
            raise ConfigError(f"model width {M} is not divisible by {heads} heads")

        def project(inputs, parts, name):
            # Heads come first: flattened for the matmul, a split over heads is then a split of the
            # columns into contiguous blocks, and tensor parallelism gathers nothing.
            shape = (heads, parts, M // heads)
            out = Dense(shape, use_bias=False, dtype=dtype, name=name)(inputs)
            out = checkpoint_name(out, PROJECTION)
            return [out[..., i, :] for i in range(parts)]

        if source is None:
            q, k, v = project(x, 3, "qkv")
        else:
            (q,), (k, v) = project(x, 1, "query"), project(source, 2, "kv")
        if self.settings.qk_norm:
            q = RMSNorm(dtype, name="q_norm")(q)
            k = RMSNorm(dtype, name="k_norm")(k)
        out = attend(q, k, v, causal=causal, implementation=self.settings.attention)
        out = out.reshape(*out.shape[:-2], M)
        out = Dense(M, use_bias=False, dtype=dtype, name="out")(out)
        return checkpoint_name(out, PROJECTION)


class MLP(nn.Module):
    """Dense-GELU-Dense without biases."""

    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        z = Dense(self.hidden, use_bias=False, dtype=self.dtype, name="up")(x)
        return Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="down")(nn.gelu(z))


class Block(nn.Module):
    """Pre-norm block: attention, optional cross-attention to a context, MLP.

    With `queries=n` only the first n tokens are carried on, (..., L, M) -> (..., n, M); they still
    attend to all L tokens. That is what a full block would compute for them, at a fraction of the
    cost.
    """

    settings: BlockSettings
    cross: bool = False
    causal: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, context: jax.Array | None = None, queries: int | None = None
    ) -> jax.Array:
        dtype = self.settings.dtype

        def attention(name):
            return Attention(self.settings, name=name)

        z = RMSNorm(dtype, name="attention_norm")(x)
        if queries is None:
            x = x + attention("attention")(z, causal=self.causal)
        else:
            x = x[..., :queries, :] + attention("attention")(z[..., :queries, :], z)
        if self.cross:
            z = RMSNorm(dtype, name="cross_norm")(x)
            x = x + attention("cross_attention")(z, context)
        z = RMSNorm(dtype, name="mlp_norm")(x)
        return x + MLP(self.settings.mlp_hidden, dtype, name="mlp")(z)


class Transformer(nn.Module):
    """`layers` blocks with stacked parameters (leading axis = layer), scanned; see `Block`."""

    layers: int
    settings: BlockSettings
    cross: bool = False
    causal: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        """x (..., L, M), context (..., S, M) for cross-attention -> (..., L, M)."""
        if self.layers == 0:
            return x

        def body(block, x, _):
            return block(x, context), None

        block = Block(self.settings, self.cross, self.causal, name="layers")
        return scanned(body, self.layers, self.settings)(block, x, None)[0]


def scanned(body: Callable, layers: int, settings: BlockSettings) -> Callable:
    """Blocks after one another, with stacked parameters (leading axis = layer), rematerialised and
    unrolled as `settings` say.

    Args:
      body: (block, x, what one layer is given) -> (x, what it tells).

    Returns:
      (block, x, what the layers are given, layers first) -> (x, what they tell, layers first).
    """
    if settings.remat != "none":
        policy = REMAT_POLICIES[settings.remat]
        body = nn.remat(body, policy=policy, prevent_cse=settings.unroll)
    return nn.scan(
        body,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        length=layers,
        unroll=layers if settings.unroll else 1,
    )
