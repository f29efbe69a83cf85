"""Foreign checkpoints into parameters, piece by piece, straight into the parameters' shards.

A piece is a few megabytes of one tensor: it is mapped, turned into our layout and type, written into
its place on the devices that hold it, and let go. So a load needs little memory beside the parameters,
however many layers are stacked in one of them, and a process reads its own shards only.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.path_table import Index, Move, Row, moves_of, placed
from flexlam_jax.checkpoints.safetensors import Maps
from flexlam_jax.checkpoints.safetensors_header import StoredTensor
from flexlam_jax.checkpoints.subtrees import with_subtree
from flexlam_jax.parallel.sharding import path_name

PIECE_BYTES = 2**22
# Where a device's memory is the host's: a parameter is put together in its own place, and the
# programs that would write into it, a few megabytes each, are not compiled.
ON_HOST = ("cpu",)
Box = tuple[slice, ...]


def read_tensors(
    tensors: Mapping[str, StoredTensor],
    table: Sequence[Row],
    abstract: Any,
    *,
    source: Any,
    partial: bool = False,
    **report: Any,
) -> dict[str, Any]:
    """The parameters that a foreign checkpoint holds.

    Args:
      tensors: of `safetensors.open_tensors`.
      table: rows of path_table.py.
      abstract: tree of ShapeDtypeStructs; a leaf's sharding is where it goes (without: the first
        local device), its type what it is turned to.
      source: of the tensors, for messages.
      partial, report: see `path_table.moves_of`.

    Returns:
      The tree of `abstract`; with `partial`, of those parameters that rows name.

    Raises:
      ConfigError, CheckpointError: as `moves_of`, before any memory is taken.
    """
    moves = moves_of(tensors, table, abstract, source=source, partial=partial, **report)
    tree: dict[str, Any] = {}
    with Maps() as maps:
        for path, leaf in jax.tree.leaves_with_path(abstract):
            name = path_name(path)
            if name in moves:
                tree = with_subtree(tree, name, _parameter(maps, moves[name], leaf))
    return tree


def _parameter(maps: Maps, moves: list[Move], leaf: Any) -> jax.Array:
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    sharding = getattr(leaf, "sharding", None) or here
    places = {
        device: tuple(slice(*i.indices(n)[:2]) for i, n in zip(index, leaf.shape, strict=True))
        for device, index in sharding.addressable_devices_indices_map(leaf.shape).items()
    }
    # Devices that hold the same shard are served together, so that it is read once.
    sharing: dict[tuple, list[Any]] = {}
    for device, box in places.items():
        sharing.setdefault(tuple((i.start, i.stop) for i in box), []).append(device)
    shards: dict[Any, jax.Array] = {}
    for devices in sharing.values():
        shards |= read_shard(maps, moves, leaf, places[devices[0]], devices)
    held = [shards[device] for device in places]
    return jax.make_array_from_single_device_arrays(leaf.shape, sharding, held)


def read_shard(
    maps: Maps, moves: list[Move], leaf: Any, box: Box, devices: list[Any]
) -> dict[Any, jax.Array]:
    """{device: the part `box` of the parameter `leaf`}, made up by `moves`."""
    shape = tuple(i.stop - i.start for i in box)
    parts = (part for move in moves for part in _pieces(maps, move, leaf, box))
    small = math.prod(shape) * leaf.dtype.itemsize <= PIECE_BYTES
    if small or devices[0].platform in ON_HOST:
        whole = _aligned(shape, leaf.dtype)
        for start, piece in parts:
            whole[tuple(slice(n, n + m) for n, m in zip(start, piece.shape, strict=True))] = piece
        # The first may take the memory itself, of which nobody else knows.
        return {
            device: jax.device_put(whole.copy() if number else whole, device)
            for number, device in enumerate(devices)
        }
    buffers = {device: jnp.zeros(shape, leaf.dtype, device=device) for device in devices}
    for start, piece in parts:
        piece = np.ascontiguousarray(piece, leaf.dtype)
        for device, buffer in buffers.items():
            buffers[device] = _write(buffer, jax.device_put(piece, device), start)
        # The next piece waits, so that never more than one is held.
        jax.block_until_ready(list(buffers.values()))
    return buffers


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Memory that a CPU device takes over as it is; what is aligned less it copies."""
    size, line = math.prod(shape) * np.dtype(dtype).itemsize, 64
    memory = np.empty(size + line, np.uint8)
    start = -memory.ctypes.data % line
    return memory[start : start + size].view(dtype).reshape(shape)


@jax.jit(donate_argnums=0)
def _write(buffer, piece, start):
    return jax.lax.dynamic_update_slice(buffer, piece, start)


def _pieces(
    maps: Maps, move: Move, leaf: Any, box: Box
) -> Iterator[tuple[tuple[np.int32, ...], np.ndarray]]:
    """(where it starts in the shard `box`, a part of the mapped file) of what the tensor gives to the
    shard. A part is let go when the next one is asked for."""
    rest = len(leaf.shape) - len(move.index)
    index: Index = (*move.index, *[slice(None)] * rest)
    if any(
        isinstance(i, int) and not b.start <= i < b.stop for i, b in zip(index, box, strict=True)
    ):
        return
    free = [axis for axis, i in enumerate(index) if isinstance(i, slice)]
    view = placed(maps.array(move.tensor), move, leaf.shape)[tuple(box[axis] for axis in free)]
    # Numbers of the index become axes of size 1 again.
    view = np.expand_dims(view, [axis for axis in range(len(index)) if axis not in free])
    start = [0 if isinstance(i, slice) else i - b.start for i, b in zip(index, box, strict=True)]
    # The axis whose neighbours lie farthest apart in the file.
    strides = [abs(step) * (n > 1) for step, n in zip(view.strides, view.shape, strict=True)]
    along = int(np.argmax(strides)) if strides else None
    for first, part in _slabs(view, along):
        at = [n + (first if axis == along else 0) for axis, n in enumerate(start)]
        yield tuple(map(np.int32, at)), part
        maps.forget(move.tensor)


def _slabs(view: np.ndarray, along: int | None) -> Iterator[tuple[int, np.ndarray]]:
    """Parts of at most PIECE_BYTES that lie one after another in the file, so that each of its pages
    is read once."""
    if along is None or view.nbytes <= PIECE_BYTES:
        yield 0, view
        return
    rows = max(1, PIECE_BYTES * view.shape[along] // view.nbytes)
    for first in range(0, view.shape[along], rows):
        yield first, np.moveaxis(np.moveaxis(view, along, 0)[first : first + rows], 0, along)
