"""Pre-norm transformer blocks and a scanned, rematerialised stack of them.

Dimension keys: ... batch axes, L tokens, S context tokens, M model width, H heads, E head width, F MLP.
Parameters are float32; matmuls run in `dtype`; norms, softmax and the residual sum of a half-precision
stream are computed in float32 where precision is lost first (norm statistics and logits).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.models.attention import attend

_init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")

REMAT_POLICIES: dict[str, Callable | None] = {
    "full": None,  # save nothing inside a block, recompute it in the backward pass
    "dots": jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims,  # keep matmul outputs
}
REMAT_NAMES = ("none", *REMAT_POLICIES)


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis with a learned scale, in float32, cast to `dtype`."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        inverse = jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
        return (x * inverse * scale).astype(self.dtype)


class Attention(nn.Module):
    """Multi-head attention with RMS-normalised queries and keys (QK-norm).

    `__call__(x)` is self-attention; `queries=n` computes the output of the first n tokens only;
    `context` turns it into cross-attention.
    """

    heads: int
    dtype: Any = jnp.float32
    attention: str = "auto"

    @nn.compact
    def __call__(self, x, *, queries=None, context=None, causal=False, mask=None):
        M = x.shape[-1]
        if M % self.heads:
            raise ValueError(f"model width {M} is not divisible by {self.heads} heads")
        heads, E = self.heads, M // self.heads
        source = x if context is None else context
        # One kernel for q, k and v: one large matmul instead of three small ones.
        kernel = self.param("qkv", _qkv_init, (M, 3, heads, E), jnp.float32).astype(self.dtype)
        if queries is None and context is None:
            q, k, v = jnp.split(_project(x, kernel), 3, axis=-3)
            q, k, v = (jnp.squeeze(z, -3) for z in (q, k, v))
        else:
            target = x if queries is None else x[..., :queries, :]
            q = _project(target, kernel[:, :1])[..., 0, :, :]
            k, v = jnp.split(_project(source, kernel[:, 1:]), 2, axis=-3)
            k, v = jnp.squeeze(k, -3), jnp.squeeze(v, -3)
        q = RMSNorm(self.dtype, name="q_norm")(q)
        k = RMSNorm(self.dtype, name="k_norm")(k)
        out = attend(q, k, v, causal=causal, mask=mask, implementation=self.attention)
        kernel = self.param("out", _out_init, (heads, E, M), jnp.float32).astype(self.dtype)
        return out.reshape(*out.shape[:-2], M) @ kernel.reshape(M, M)


def _qkv_init(key, shape, dtype):
    return _init(key, (shape[0], shape[1] * shape[2] * shape[3]), dtype).reshape(shape)


def _out_init(key, shape, dtype):
    return _init(key, (shape[0] * shape[1], shape[2]), dtype).reshape(shape)


def _project(x, kernel):
    """(..., M) x (M, n, H, E) -> (..., n, H, E) as one flat matmul."""
    out = x @ kernel.reshape(kernel.shape[0], -1)
    return out.reshape(*x.shape[:-1], *kernel.shape[1:])


class MLP(nn.Module):
    """Dense-GELU-Dense without biases."""

    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        up = nn.Dense(self.hidden, use_bias=False, kernel_init=_init, dtype=self.dtype, name="up")
        down = nn.Dense(
            x.shape[-1], use_bias=False, kernel_init=_init, dtype=self.dtype, name="down"
        )
        return down(nn.gelu(up(x)))


class Block(nn.Module):
    """Pre-norm block: self-attention, optional cross-attention to a context, MLP.

    With `queries=n` only the first n tokens are carried on (shape (..., n, M)); they still attend to
    all L tokens. The result equals slicing the full block's output, at a fraction of its cost.
    """

    heads: int
    mlp_hidden: int
    cross: bool = False
    causal: bool = False
    dtype: Any = jnp.float32
    attention: str = "auto"

    @nn.compact
    def __call__(self, x, context=None, queries=None):
        def make(name):
            return Attention(self.heads, self.dtype, self.attention, name=name)

        z = RMSNorm(self.dtype, name="attention_norm")(x)
        z = make("attention")(z, queries=queries, causal=self.causal)
        x = (x if queries is None else x[..., :queries, :]) + z
        if self.cross:
            z = RMSNorm(self.dtype, name="cross_norm")(x)
            x = x + make("cross_attention")(z, context=context)
        z = RMSNorm(self.dtype, name="mlp_norm")(x)
        return x + MLP(self.mlp_hidden, self.dtype, name="mlp")(z)


class Transformer(nn.Module):
    """`layers` blocks with stacked parameters (leading axis = layer), scanned.

    Args (fields):
      layers, heads, mlp_hidden, cross, causal, dtype, attention: see Block.
      remat: 'none', 'full' or 'dots' (REMAT_POLICIES).
      unroll: unroll the scan in the compiled program. The parameters stay stacked; on CPU the loop's
        copies of saved activations cost more than the larger program.

    Raises ValueError for an unknown remat policy.
    """

    layers: int
    heads: int
    mlp_hidden: int
    cross: bool = False
    causal: bool = False
    dtype: Any = jnp.float32
    attention: str = "auto"
    remat: str = "none"
    unroll: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        """x (..., L, M), context (..., S, M) for cross-attention -> (..., L, M)."""
        if self.remat not in REMAT_NAMES:
            raise ValueError(f"remat policy {self.remat!r} is unknown; choose one of {REMAT_NAMES}")
        if self.layers == 0:
            return x

        def body(block, x, _):
            return block(x, context), None

        if self.remat != "none":
            body = nn.remat(body, policy=REMAT_POLICIES[self.remat], prevent_cse=self.unroll)
        scan = nn.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=self.layers,
            unroll=self.layers if self.unroll else 1,
        )
        block = Block(
            self.heads, self.mlp_hidden, self.cross, self.causal, self.dtype, self.attention,
            name="layers",
        )
        return scan(block, x, None)[0]
