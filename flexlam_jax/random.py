"""Named random streams: every key is a function of (seed, step, name) and of nothing else.

Nothing random has to be saved in a checkpoint, and adding a new consumer of randomness never shifts
the numbers that an existing one sees.
"""

import zlib

import jax


def fold_name(key: jax.Array, name: str) -> jax.Array:
    """Derives the stream `name` from `key`; crc32, unlike hash(), is the same in every process."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def stream(seed: int, step: int | jax.Array, name: str) -> jax.Array:
    """The typed key of stream `name` at `step` (int or traced int32 scalar) of run `seed`."""
    return fold_name(jax.random.fold_in(jax.random.key(seed), step), name)
