"""Splash attention, the TPU kernel of jax.experimental.pallas, for lengths that fit no tile.

Dimension keys: R rows, L query length, S key length, H heads, E head width.
"""

import jax
import jax.numpy as jnp

_LANES = 128  # Both lengths must be multiples of the TPU's lane count.
_MAX_BLOCK = 1024  # A block of float32 logits is then at most 4 MiB of on-chip memory.


def padded_length(length: int) -> int:
    """The next multiple of 128: what the kernel really computes for `length` tokens."""
    return -(-length // _LANES) * _LANES


def splash_attention(
    q: jax.Array, k: jax.Array, v: jax.Array, *, causal: bool = False, interpret: bool = False
) -> jax.Array:
    """Softmax attention q (R, L, H, E), k and v (R, S, H, E) -> (R, L, H, E) in the type of q.

    Lengths are padded to multiples of 128; padded keys are hidden from real queries by segment
    numbers, and padded queries see padded keys only, so that no row is empty.

    Args:
      causal: query i sees keys 0..i only.
      interpret: run the kernel's Python on any device: slow, for tests.
    """
    # Imported on use: nothing but a TPU needs it, and it costs a second.
    from jax.experimental.pallas.ops.tpu.splash_attention import (
        splash_attention_kernel as kernels,
    )
    from jax.experimental.pallas.ops.tpu.splash_attention import (
        splash_attention_mask as masks,
    )

    L, S, H = q.shape[1], k.shape[1], q.shape[2]
    lengths = padded_length(L), padded_length(S)
    one_head = masks.CausalMask(lengths) if causal else masks.FullMask(lengths)
    kernel = kernels.make_splash_mha(
        mask=masks.MultiHeadMask([one_head] * H),
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
        block_sizes=_block_sizes(kernels, *lengths),
    )
    segments = None
    if (L, S) != lengths:
        segments = kernels.SegmentIds(
            *(jnp.arange(n) >= real for real, n in zip((L, S), lengths, strict=True))
        )
        segments = jax.tree.map(lambda x: x.astype(jnp.int32), segments)
    q, k, v = (
        jnp.pad(jnp.swapaxes(x, 1, 2), [(0, 0), (0, 0), (0, n - x.shape[1]), (0, 0)])
        for x, n in ((q * q.shape[-1] ** -0.5, lengths[0]), (k, lengths[1]), (v, lengths[1]))
    )
    out = jax.vmap(kernel, in_axes=(0, 0, 0, None))(q, k, v, segments)
    return jnp.swapaxes(out[:, :, :L], 1, 2).astype(q.dtype)


def _block_sizes(kernels, L, S):
    q, kv = _block(L), _block(S)
    return kernels.BlockSizes(
        block_q=q,
        block_kv=kv,
        block_kv_compute=kv,
        block_q_dkv=q,
        block_kv_dkv=kv,
        block_kv_dkv_compute=kv,
        block_q_dq=q,
        block_kv_dq=kv,
    )


def _block(length):
    """The largest multiple of 128 that divides `length` and is at most _MAX_BLOCK."""
    return max(n for n in range(_LANES, min(length, _MAX_BLOCK) + 1, _LANES) if length % n == 0)
