"""Running jitted functions on batches of any size without compiling for each."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray  # Results are of the kind that was given.

# Batches are padded to one of these sizes, so that ever-changing batch sizes compile at most this
# many programs; larger batches run in pieces of the largest.
BUCKETS = (1, 8, 64, 256)
# Those of decisions of policies: closer to each other, as the number of live episodes decides how
# long every step takes.
DECISIONS = (1, 4, 8, 16, 24, 32, 48, 64, 128)


def in_buckets(
    function: Callable, arguments: tuple, batched: bool, buckets: Sequence[int] = BUCKETS
) -> Any:
    """Calls a jitted function of batches at a few fixed batch sizes and undoes the padding.

    Args:
      function: maps arrays (B, ...) to a pytree of arrays (B, ...).
      arguments: arrays with the same leading axis.
      batched: False drops the leading axis of the results.
      buckets: the batch sizes, ascending.
    """
    if any(isinstance(argument, jax.core.Tracer) for argument in arguments):
        result = function(*arguments)
        return result if batched else jax.tree.map(lambda x: x[0], result)
    on_device = any(isinstance(argument, jax.Array) for argument in arguments)
    count = len(arguments[0])
    if on_device and count in buckets:  # nothing to pad, so nothing has to leave the device
        result = function(*arguments)
        return result if batched else jax.tree.map(lambda x: x[0], result)
    arguments = [np.asarray(argument) for argument in arguments]
    pieces = []
    for start in range(0, count, buckets[-1]):
        chunk = [argument[start : start + buckets[-1]] for argument in arguments]
        size = len(chunk[0])
        bucket = next(bucket for bucket in buckets if bucket >= size)
        padded = [
            np.concatenate([c, np.repeat(c[-1:], bucket - size, 0)]) if bucket > size else c
            for c in chunk
        ]
        pieces.append(jax.tree.map(lambda x, size=size: np.asarray(x)[:size], function(*padded)))
    result = jax.tree.map(
        lambda *parts: parts[0] if len(parts) == 1 else np.concatenate(parts), *pieces
    )
    if not batched:
        result = jax.tree.map(lambda x: x[0], result)
    return jax.tree.map(jnp.asarray, result) if on_device else result
