"""Where every array lives. The rules are data: a table from parameter paths to mesh axes.

A leaf's spec is a function of its path and shape alone. Optimizer moments and EMA weights carry the
path and shape of their parameter inside their own path, so they follow it without a rule of theirs.
"""

from collections.abc import Sequence
import math
import re
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

from flexlam_jax.errors import UserError
from flexlam_jax.training.mesh import BATCH_AXES

# Regular expression searched in the parameter path -> axes of the *trailing* dimensions (leading
# ones, as the layer axis of a scanned stack, stay whole). First match wins; no match means no
# tensor parallelism. An axis is dropped where it does not divide the dimension.
Rule = tuple[str, tuple[str | None, ...]]
RULES: tuple[Rule, ...] = (
    # Heads and hidden units are split: one all-reduce after attention, one after the MLP.
    (r"attention/(qkv|kv|query)/kernel$", (None, "model", None, None)),  # (M, heads, parts, width)
    (r"attention/out/kernel$", ("model", None)),    # (heads x width, M), heads outermost
    (r"mlp/up/kernel$", (None, "model")),
    (r"mlp/up/bias$", ("model",)),
    (r"mlp/down/kernel$", ("model", None)),
)

# Smaller arrays cost less memory replicated than they cost latency gathered.
FSDP_MIN_SIZE = 2**16


def leaf_spec(path: str, shape: Sequence[int], mesh: Mesh, rules: Sequence[Rule] = RULES,
              fsdp_min_size: int = FSDP_MIN_SIZE) -> P:
    """Spec of one array: its rule, plus "fsdp" on the largest free dimension that it divides."""
    axes: list[str | None] = [None] * len(shape)
    tail = next((tail for pattern, tail in rules if re.search(pattern, path)), ())
    if len(tail) <= len(shape):
        for dim, axis in enumerate(tail, start=len(shape) - len(tail)):
            if axis and mesh.shape[axis] > 1 and shape[dim] % mesh.shape[axis] == 0:
                axes[dim] = axis
    fsdp = mesh.shape["fsdp"]
    if fsdp > 1 and math.prod(shape) >= fsdp_min_size:
        free = [d for d, size in enumerate(shape) if axes[d] is None and size % fsdp == 0]
        if free:
            # Ties go to the last dimension: the first may be the layer axis of a scan.
            axes[max(free, key=lambda d: (shape[d], d))] = "fsdp"
    while axes and axes[-1] is None:
        axes.pop()
    return P(*axes)


def path_name(path: Any) -> str:
    """Path of a leaf as text, "params/encoder/block/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def tree_shardings(tree: Any, mesh: Mesh, rules: Sequence[Rule] = RULES,
                   fsdp_min_size: int = FSDP_MIN_SIZE) -> Any:
    """NamedSharding for every leaf of a tree of arrays or ShapeDtypeStructs."""
    def one(path, leaf):
        return NamedSharding(mesh, leaf_spec(path_name(path), leaf.shape, mesh, rules,
                                             fsdp_min_size))
    return jax.tree_util.tree_map_with_path(one, tree)


def with_shardings(abstract: Any, shardings: Any) -> Any:
    """Abstract tree whose leaves also say where they live, as Orbax and AOT compilation want it."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
                        abstract, shardings)


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over the batch axes (slice, data, fsdp), everything else whole."""
    return NamedSharding(mesh, P(BATCH_AXES))


def batch_shard(mesh: Mesh, batch_size: int) -> tuple[int, int]:
    """(index, count): which of `count` equal contiguous blocks of the global batch is ours.

    It is not (process_index, process_count) when the model axis spans processes: those processes
    feed the same rows. The data loader is asked for this block.
    """
    slices = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
    starts = [s[0].start or 0 for s in slices]
    stops = [batch_size if s[0].stop is None else s[0].stop for s in slices]
    rows = max(stops) - min(starts)
    if batch_size % rows or min(starts) % rows:
        raise UserError(f"devices of this process hold rows {min(starts)}..{max(stops)} of "
                         f"{batch_size}, which is no equal block; choose config.mesh so that a "
                        "process holds whole rows of the mesh.")
    return min(starts) // rows, batch_size // rows


def constrain_microbatches(batch: Any) -> Any:
    """Keeps the rows of (micro-batch, row, ...) arrays on their devices; no-op without a mesh."""
    if jax.sharding.get_abstract_mesh().empty:
        return batch
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, P(None, BATCH_AXES)), batch)
