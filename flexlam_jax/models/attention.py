"""The one attention entry point: every attention of the package goes through `attend`.

Dimension keys: L query length, S key length, H heads, E head width, ... any batch axes.
"""

import jax
import jax.numpy as jnp

IMPLEMENTATIONS = ("auto", "einsum", "xla", "cudnn")


def resolve_implementation(implementation: str, dtype, backend: str | None = None) -> str:
    """Turns 'auto' into the kernel for this backend; raises ValueError for an unknown name.

    This is the one place where a backend gets its kernel (a TPU splash kernel belongs here too).
    'einsum' is the choice off the GPU: at the lengths of a frame pair (tens to hundreds of tokens)
    it is as fast as `jax.nn.dot_product_attention` and takes any number of batch axes.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"attention {implementation!r} is unknown; choose one of {IMPLEMENTATIONS}"
        )
    if implementation != "auto":
        return implementation
    backend = backend or jax.default_backend()
    half = jnp.dtype(dtype) in (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
    return "cudnn" if backend == "gpu" and half else "einsum"


def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    mask: jax.Array | None = None,
    causal: bool = False,
    implementation: str = "auto",
) -> jax.Array:
    """Softmax attention with float32 logits and softmax, whatever the compute type.

    Args:
      q: queries (..., L, H, E).
      k, v: keys and values (..., S, H, E).
      mask: optional bool, broadcastable to (..., H, L, S); True = may attend.
      causal: query i sees keys 0..i only.
      implementation: one of IMPLEMENTATIONS.

    Returns:
      (..., L, H, E) in the type of q.

    Raises:
      ValueError: unknown implementation.
    """
    implementation = resolve_implementation(implementation, q.dtype)
    if implementation == "einsum":
        return _einsum_attention(q, k, v, mask, causal)
    batch = q.shape[:-3]
    if mask is not None:
        # cuDNN refuses masks that only broadcast, so the mask is spelled out.
        mask = jnp.broadcast_to(mask, (*batch, q.shape[-2], q.shape[-3], k.shape[-3]))
        mask = mask.reshape(-1, *mask.shape[-3:])
    flat = [x.reshape(-1, *x.shape[-3:]) for x in (q, k, v)]
    out = jax.nn.dot_product_attention(
        *flat, mask=mask, is_causal=causal, implementation=implementation
    )
    return out.reshape(q.shape)


def _einsum_attention(q, k, v, mask, causal):
    scale = q.shape[-1] ** -0.5
    logits = jnp.einsum("...lhe,...she->...hls", q * scale, k, preferred_element_type=jnp.float32)
    if causal:
        L, S = logits.shape[-2:]
        visible = jnp.tril(jnp.ones((L, S), bool))
        mask = visible if mask is None else mask & visible
    if mask is not None:
        # A large finite number, not -inf: a fully masked row must not become NaN.
        logits = jnp.where(mask, logits, -0.7 * jnp.finfo(jnp.float32).max)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return jnp.einsum("...hls,...she->...lhe", weights, v)
