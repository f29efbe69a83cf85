"""Where every array lives. The rules are data: a table from parameter paths to mesh axes.

A leaf's spec is a function of its path and shape alone. Optimizer moments and EMA weights carry the
path and shape of their parameter inside their own path, so they follow it without a rule of theirs.
"""

import functools
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from flexlam_jax.errors import UserError
from flexlam_jax.parallel.axes import BATCH_AXES, TENSOR_AXIS
from flexlam_jax.parallel.mesh import check_batch_size
from flexlam_jax.parallel.streams import Rows, by_stream

# Regular expression searched in the parameter path -> axes of the *trailing* dimensions (leading
# ones, as the layer axis of a scanned stack, stay whole). First match wins; no match means no
# tensor parallelism. An axis is dropped where it does not divide the dimension.
Rule = tuple[str, tuple[str | None, ...]]
RULES: tuple[Rule, ...] = (
    # Heads and hidden units are split: one all-reduce after attention, one after the MLP.
    # (M, heads, parts, width)
    (r"attention/(qkv|kv|query)/kernel$", (None, TENSOR_AXIS, None, None)),
    (r"attention/(qkv|kv|query)/bias$", (TENSOR_AXIS, None, None)),
    (r"attention/out/kernel$", (TENSOR_AXIS, None)),  # (heads x width, M), heads outermost
    (r"mlp/up/kernel$", (None, TENSOR_AXIS)),
    (r"mlp/up/bias$", (TENSOR_AXIS,)),
    (r"mlp/down/kernel$", (TENSOR_AXIS, None)),
)

# Smaller arrays cost less memory replicated than they cost latency gathered.
FSDP_MIN_SIZE = 2**16

# Share of the state that may stay whole on every device though FSDP is asked to split it: what an
# axis of odd size leaves over is borne, a run that would quietly be without FSDP is not.
MOST_WHOLE = 0.1


def leaf_spec(
    path: str,
    shape: Sequence[int],
    mesh: Mesh,
    rules: Sequence[Rule] = RULES,
    fsdp_min_size: int = FSDP_MIN_SIZE,
) -> P:
    """Spec of one array: its rule, plus "fsdp" on the largest free dimension that it divides."""
    axes = [
        axis if axis and mesh.shape[axis] > 1 and size % mesh.shape[axis] == 0 else None
        for axis, size in zip(_ruled(path, shape, rules), shape, strict=True)
    ]
    fsdp = mesh.shape["fsdp"]
    if fsdp > 1 and math.prod(shape) >= fsdp_min_size:
        free = [d for d, size in enumerate(shape) if axes[d] is None and size % fsdp == 0]
        if free:
            # Ties go to the last dimension: the first may be the layer axis of a scan.
            axes[max(free, key=lambda d: (shape[d], d))] = "fsdp"
    while axes and axes[-1] is None:
        axes.pop()
    return P(*axes)


def _ruled(path: str, shape: Sequence[int], rules: Sequence[Rule]) -> tuple[str | None, ...]:
    """The axis that the rules ask for, of every dimension."""
    tail = next((tail for pattern, tail in rules if re.search(pattern, path)), ())
    ahead = len(shape) - len(tail)
    return (None,) * ahead + tail if ahead >= 0 else (None,) * len(shape)


def path_name(path: Any) -> str:
    """Path of a leaf as text, "params/encoder/block/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def tree_shardings(
    tree: Any, mesh: Mesh, rules: Sequence[Rule] = RULES, fsdp_min_size: int = FSDP_MIN_SIZE
) -> Any:
    """NamedSharding for every leaf of a tree of arrays or ShapeDtypeStructs."""

    def one(path, leaf):
        return NamedSharding(
            mesh, leaf_spec(path_name(path), leaf.shape, mesh, rules, fsdp_min_size)
        )

    return jax.tree_util.tree_map_with_path(one, tree)


def whole_leaves(
    tree: Any, mesh: Mesh, rules: Sequence[Rule] = RULES, fsdp_min_size: int = FSDP_MIN_SIZE
) -> dict[str, Any]:
    """{path: leaf} of the leaves that FSDP should split and no axis of the mesh does."""
    if mesh.shape["fsdp"] == 1:
        return {}
    return {
        path: leaf
        for path, leaf in _named(tree)
        if math.prod(leaf.shape) >= max(2, fsdp_min_size)
        and not leaf_spec(path, leaf.shape, mesh, rules, fsdp_min_size)
    }


def check_divides(
    tree: Any, mesh: Mesh, rules: Sequence[Rule] = RULES, fsdp_min_size: int = FSDP_MIN_SIZE
) -> None:
    """Raises UserError where `leaf_spec` would drop an axis that the run was asked to use: a model
    axis that does not divide the heads or hidden units, an fsdp axis that leaves more than
    MOST_WHOLE of the state whole on every device.
    """
    ruled = {
        path: leaf.shape[_ruled(path, leaf.shape, rules).index(TENSOR_AXIS)]
        for path, leaf in _named(tree)
        if "model" in _ruled(path, leaf.shape, rules)
    }
    model, fsdp = mesh.shape[TENSOR_AXIS], mesh.shape["fsdp"]
    for path, size in ruled.items():
        if size % model:
            raise UserError(
                f"config.mesh.model={model} does not divide the {size} heads or hidden units of "
                f"{path}; divisors of {math.gcd(*ruled.values())} divide all."
            )
    whole = whole_leaves(tree, mesh, rules, fsdp_min_size)
    held, total = tree_bytes(whole), tree_bytes(tree)
    if held > MOST_WHOLE * total:
        path, leaf = max(whole.items(), key=lambda item: math.prod(item[1].shape))
        # A divisor of the axis, so that the data axis can take the rest.
        smaller = next(
            n
            for n in range(fsdp - 1, 0, -1)
            if fsdp % n == 0 and any(size % n == 0 for size in leaf.shape)
        )
        raise UserError(
            f"config.mesh.fsdp={fsdp} divides no dimension of {path} {tuple(leaf.shape)}: every "
            f"device would hold {held / 2**20:.1f} of the {total / 2**20:.1f} MiB of state whole; "
            f"take config.mesh.fsdp={smaller}, and {fsdp // smaller} times the config.mesh.data."
        )


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves, of all devices together."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(path_name(path), leaf) for path, leaf in jax.tree.leaves_with_path(tree)]


def with_shardings(abstract: Any, shardings: Any) -> Any:
    """Abstract tree whose leaves also say where they live, as Orbax and AOT compilation want it."""
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), abstract, shardings
    )


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over the batch axes (slice, data, fsdp), everything else whole."""
    return NamedSharding(mesh, P(BATCH_AXES))


def process_rows(mesh: Mesh, batch_size: Rows, process: int | None = None) -> Any:
    """Rows of a global batch that the devices of a process hold, int64, ascending; {stream: rows}
    for a batch of streams.

    They are several blocks where the mesh follows a TPU's torus, of which a host is a square, and
    the rows of other processes too where the model axis spans them. The data loader is asked for
    these rows, whoever holds them: what row i of batch n is does not depend on the mesh.

    Args:
      process: its index; None = the calling one.

    Raises:
      UserError: the mesh does not divide the batch, or the one of a stream.
    """
    check_batch_size(batch_size, 1, mesh)
    process = jax.process_index() if process is None else process
    return by_stream(functools.partial(_held_rows, mesh, process), batch_size)


def _held_rows(mesh: Mesh, process: int, batch_size: int) -> np.ndarray:
    held = batch_sharding(mesh).devices_indices_map((batch_size,))
    blocks = [
        np.arange(batch_size)[index[0]]
        for device, index in held.items()
        if device.process_index == process
    ]
    return np.unique(np.concatenate(blocks))


def put_batch(sharding: NamedSharding, rows: Any, batch: Any, batch_size: Rows) -> Any:
    """The global batch of which this process has `rows` (`process_rows`) in `batch`, a tree of host
    arrays or one such tree per stream."""

    def put(size: int, rows: np.ndarray, tree: Any) -> Any:
        return jax.tree.map(lambda x: put_rows(sharding, rows, x, size), tree)

    return by_stream(put, batch_size, rows, batch)


def put_rows(
    sharding: NamedSharding, rows: np.ndarray, x: np.ndarray, batch_size: int
) -> jax.Array:
    """The global array (batch_size, ...) whose `rows` (`process_rows`) this process has in x."""
    shape = (batch_size, *x.shape[1:])
    held = []
    for device, index in sharding.addressable_devices_indices_map(shape).items():
        start, stop, _ = index[0].indices(batch_size)
        first = int(np.searchsorted(rows, start))
        held.append(jax.device_put(x[first : first + stop - start], device))
    return jax.make_array_from_single_device_arrays(shape, sharding, held)


def constrain_microbatches(batch: Any) -> Any:
    """Keeps the rows of (micro-batch, row, ...) arrays on their devices; no-op without a mesh."""
    if jax.sharding.get_abstract_mesh().empty:
        return batch
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, P(None, BATCH_AXES)), batch)
