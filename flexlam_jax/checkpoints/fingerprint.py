"""A 32-bit fingerprint of a tree of arrays that does not depend on how the arrays are sharded.

Checkpoints carry one per item, so that damaged bytes are never mistaken for weights; metrics rows
carry one of the batch, so that equal data order can be read off two log files.
"""

import functools
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_SMALL = 2**20
_UNSIGNED = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


def fingerprint(tree: Any) -> int:
    """Sum over all elements of a hash of (leaf, position, bits), modulo 2^32. Waits for the arrays.

    Integer sums do not depend on their order, so neither on sharding. The hash is one-to-one in the
    bits (the finaliser of MurmurHash3), so that any single changed element changes the sum.

    Small leaves are hashed by NumPy, because a process that only loads a model would wait longer
    for compilation than for all the rest; big ones where they are; those that other processes hold
    parts of in one program, for which all processes must call this.
    """
    sums, spread = [], {}
    for number, leaf in enumerate(jax.tree.leaves(tree)):
        if not leaf.is_fully_addressable and not leaf.is_fully_replicated:
            spread[number] = leaf
            continue
        local = leaf if leaf.is_fully_addressable else leaf.addressable_data(0)
        sums.append(
            _host_leaf_sum(local, number)
            if leaf.size <= _SMALL
            else _jitted_leaf_sum(local, jax.device_put(np.uint32(number)))
        )
    if spread:
        mesh = next(iter(spread.values())).sharding.mesh
        sums.append(_spread_sum(mesh, tuple(spread))(tuple(spread.values())))
    return sum(int(value) for value in jax.device_get(sums)) % 2**32


def parameters_hash(tree: Any) -> str:
    """sha256 of arrays of one process: which model made a file, for good."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


@functools.lru_cache(maxsize=32)
def _spread_sum(mesh: jax.sharding.Mesh, numbers: tuple[int, ...]) -> Any:
    """Jitted sum over leaves with these numbers, whose result every process holds."""

    def total(leaves: tuple[jax.Array, ...]) -> jax.Array:
        sums = [
            _leaf_sum(leaf, np.uint32(number)) for number, leaf in zip(numbers, leaves, strict=True)
        ]
        return sum(sums[1:], sums[0])

    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.jit(total, out_shardings=whole)


def batch_fingerprint(batch: Any) -> jax.Array:
    """uint32 fingerprint of which rows a batch holds; traceable, unlike `fingerprint`.

    Hashes the 1-D integer fields (episode, t, gap, dataset); row order counts. A batch without such
    fields is hashed whole, a batch of streams {stream: batch} stream by stream.
    """
    return sum(_leaf_sum(leaf, number) for number, leaf in enumerate(_identity(batch)))


def _identity(batch: Any) -> list[jax.Array]:
    """The leaves that tell which rows a batch, or each of its streams, holds."""
    rows = {
        name: value
        for name, value in batch.items()
        if not isinstance(value, Mapping)
        and value.ndim == 1
        and jnp.issubdtype(value.dtype, jnp.integer)
    }
    if rows:
        return jax.tree.leaves(rows)
    if all(isinstance(value, Mapping) for value in batch.values()):
        return [leaf for name in sorted(batch) for leaf in _identity(batch[name])]
    return jax.tree.leaves(dict(batch))


def _leaf_sum(leaf: jax.Array, number: Any) -> jax.Array:
    position = _positions(leaf.shape) + jnp.uint32(number) * jnp.uint32(0x61C88647)
    return jnp.sum(_mix(_bits(leaf) ^ _mix(position)), dtype=jnp.uint32)


_jitted_leaf_sum = jax.jit(_leaf_sum)


def _host_leaf_sum(leaf: jax.Array, number: int) -> int:
    """The same number without compiling anything."""
    flat = np.asarray(leaf).reshape(-1)
    bits = flat.view(f"uint{8 * flat.dtype.itemsize}").astype(np.uint32)
    position = np.arange(flat.size, dtype=np.uint32) + np.uint32(number * 0x61C88647 % 2**32)
    return int(np.sum(_mix(bits ^ _mix(position)), dtype=np.uint64)) % 2**32


def _bits(x: jax.Array) -> jax.Array:
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint32)
    return jax.lax.bitcast_convert_type(x, _UNSIGNED[x.dtype.itemsize]).astype(jnp.uint32)


def _positions(shape: tuple[int, ...]) -> jax.Array:
    """Row-major index of every element, modulo 2^32."""
    positions = jnp.zeros(shape, jnp.uint32)
    for dim in range(len(shape)):
        stride = np.uint32(math.prod(shape[dim + 1 :]) % 2**32)
        positions += jax.lax.broadcasted_iota(jnp.uint32, shape, dim) * stride
    return positions


def _mix(x: Any) -> Any:
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
