"""A 32-bit fingerprint of a tree of arrays that does not depend on how the arrays are sharded.

Checkpoints carry one per item, so that damaged bytes are never mistaken for weights; metrics rows
carry one of the batch, so that equal data order can be read off two log files.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_UNSIGNED = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


def fingerprint(tree: Any) -> jax.Array:
    """uint32 sum over all elements of a hash of (leaf, position, bits), modulo 2^32.

    Integer sums do not depend on their order, so neither on sharding. The hash is one-to-one in the
    bits (the finaliser of MurmurHash3), so that any single changed element changes the sum.
    """
    total = jnp.zeros((), jnp.uint32)
    for number, leaf in enumerate(jax.tree.leaves(tree)):
        position = _positions(leaf.shape) + np.uint32(number * 0x61C88647 % 2**32)
        total += jnp.sum(_mix(_bits(leaf) ^ _mix(position)), dtype=jnp.uint32)
    return total


def _bits(x: jax.Array) -> jax.Array:
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint32)
    return jax.lax.bitcast_convert_type(x, _UNSIGNED[x.dtype.itemsize]).astype(jnp.uint32)


def _positions(shape: tuple[int, ...]) -> jax.Array:
    """Row-major index of every element, modulo 2^32."""
    positions = jnp.zeros(shape, jnp.uint32)
    for dim in range(len(shape)):
        stride = np.uint32(math.prod(shape[dim + 1:]) % 2**32)
        positions += jax.lax.broadcasted_iota(jnp.uint32, shape, dim) * stride
    return positions


def _mix(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def batch_fingerprint(batch: Any) -> jax.Array:
    """Fingerprint of which rows a batch holds: its 1-D integer fields (episode, t, gap, dataset).

    Row order is part of it. A batch without such fields is hashed whole.
    """
    rows = {name: value for name, value in batch.items()
            if value.ndim == 1 and jnp.issubdtype(value.dtype, jnp.integer)}
    return fingerprint(rows or batch)
