"""How many of a quantiser's codes are in use. Dimension keys: ... batch axes, K slots, V codes."""

import jax
import jax.numpy as jnp


def code_counts(ids: jax.Array, codebook_size: int) -> jax.Array:
    """ids (..., K) int -> counts (K, V) float32 over the whole (global) batch."""
    ids = ids.reshape(-1, ids.shape[-1])
    K = ids.shape[-1]
    flat = ids + codebook_size * jnp.arange(K)
    counts = jnp.bincount(flat.reshape(-1), length=K * codebook_size)
    return counts.reshape(K, codebook_size).astype(jnp.float32)


def usage_metrics(counts_KV: jax.Array) -> dict[str, jax.Array]:
    """code_usage: share of the codebook met in the batch by any slot; code_perplexity: exp entropy
    of the codes of one slot, averaged over slots (1 = collapsed, V = uniform; a batch of n samples
    shows at most n). Of `code_counts`, which add up over micro-batches."""
    share_KV = counts_KV / counts_KV.sum(-1, keepdims=True)
    entropy_K = -jnp.sum(share_KV * jnp.log(jnp.maximum(share_KV, 1e-12)), axis=-1)
    return {
        "code_usage": jnp.mean(counts_KV.sum(0) > 0),
        "code_perplexity": jnp.mean(jnp.exp(entropy_K)),
    }
