"""Collectives of a compiled program: how often each runs per step and how many bytes it moves.

Loop bodies count once per iteration; see program_text.py. A matrix product that the TPU compiler
overlaps with the gathering of its operand appears as a ring of collective-permutes. What TPU slices
exchange over the data-centre network appears as transfers to the host: "slice-send".
"""

import dataclasses
import math
import re
from typing import Any

import numpy as np

from flexlam_jax.planning.program_text import array_sizes, array_types, operations, read_program

KINDS = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "slice-send",
)
SUMS = ("all-reduce", "reduce-scatter")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective operation of the program.

    Attributes:
      kind: one of KINDS.
      count: how often it runs per step.
      bytes: what one run moves per device: the gathered result of an all-gather, the whole operand
        of a reduction.
      groups: device numbers, one row per group that exchanges data; (groups, size).
      dtype: element type of most of the bytes, "f32".
    """

    kind: str
    count: int
    bytes: int
    groups: np.ndarray
    dtype: str = ""

    @property
    def wire_bytes(self) -> float:
        """Bytes that one device sends in one run, with ring algorithms."""
        size = self.groups.shape[1]
        share = (size - 1) / size
        factor = {"all-reduce": 2 * share, "collective-permute": 1.0, "slice-send": 1.0}
        return self.bytes * factor.get(self.kind, share)


def collectives(hlo: str, devices: int) -> list[Collective]:
    """All collectives of a program for `devices` devices; groups of one device are left out."""
    found, chains = [], set()
    for times, computation, operation in operations(read_program(hlo)):
        kind = operation.kind.removesuffix("-start")
        # In flight while several fusions run, a collective stands in each of them.
        chain = re.search(r'chain_id="\d+"', operation.rest)
        if chain and chain[0] in chains:
            continue
        if kind in KINDS:
            if chain:
                chains.add(chain[0])
            # The TPU's name for an all-reduce of which every device keeps its part only.
            scattered = computation.startswith("all-reduce-scatter")
            found.append(
                _collective(
                    "reduce-scatter" if scattered else kind,
                    times,
                    operation,
                    started=kind != operation.kind,
                    devices=devices,
                )
            )
        elif kind == "send" and "xla_megascale_runtime" in operation.rest:
            # The first and the last device are in different slices, which is all that matters.
            found.append(
                Collective(
                    "slice-send",
                    times,
                    max(array_sizes(operation.result)),
                    np.array([[0, devices - 1]]),
                    _dtype(operation.result),
                )
            )
    return [c for c in found if c.groups.shape[1] > 1]


def by_kind(found: list[Collective]) -> dict[str, dict[str, Any]]:
    """{kind: {"count": runs per step, "bytes": moved per device and step, "types": {element type:
    bytes}}}, kinds in use only.
    """
    table = {}
    for kind in KINDS:
        ours = [c for c in found if c.kind == kind]
        if not ours:
            continue
        types = {}
        for c in ours:
            types[c.dtype] = types.get(c.dtype, 0) + c.count * c.bytes
        table[kind] = {
            "count": sum(c.count for c in ours),
            "bytes": sum(types.values()),
            "types": types,
        }
    return table


def _dtype(shape: str) -> str:
    types = array_types(shape)
    return max(types, key=types.get)


def _collective(kind, times, operation, *, started, devices):
    groups = _groups(operation.rest, devices)
    sizes = array_sizes(operation.result)
    if started and kind != "all-reduce":
        # (operand, result, flags): the larger is what was gathered or is to be scattered.
        size = max(sizes)
    else:
        size = sum(sizes)
        if kind == operation.kind == "reduce-scatter":
            size *= groups.shape[1]  # The text shows the result; the operand is what moves.
    return Collective(kind, times, size, groups, _dtype(operation.result))


def _groups(rest: str, devices: int) -> np.ndarray:
    """The device groups, in any of the notations that XLA writes; (groups, size)."""
    pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", rest)
    if pairs:
        numbers = [int(n) for n in re.findall(r"\d+", pairs[1])]
        return np.array(numbers).reshape(-1, 2)
    mesh = re.search(r"replica_groups=mesh\[((?:[^\[\]]|\[[^\]]*\])*)\](.*?)\{([^}]*)\}", rest)
    if mesh:
        return _mesh_groups(mesh[1] + mesh[2], mesh[3])
    iota = re.search(r"replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", rest)
    if iota:
        grid = _iota(iota[3], iota[4])
        return grid.reshape(int(iota[1]), int(iota[2]))
    listed = re.search(r"replica_groups=\{(\{.*?\})\}", rest)
    if listed:
        rows = [[int(n) for n in row.split(",")] for row in re.findall(r"\{([\d,]+)\}", listed[1])]
        return np.array(rows)
    return np.arange(devices).reshape(1, -1)


def _iota(shape: str, order: str | None) -> np.ndarray:
    dims = [int(n) for n in shape.split(",")]
    grid = np.arange(math.prod(dims)).reshape(dims)
    return grid.transpose([int(n) for n in order.split(",")]) if order else grid


def _mesh_groups(axes: str, used: str) -> np.ndarray:
    """mesh['a'=2,'b'=4] {'b'} -> [[0..3], [4..7]]; 'a':(2)4 is a part of an axis."""
    sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", axes)}
    numbers = _iota(",".join(map(str, sizes.values())), None).reshape(-1)
    order = re.search(r"device_ids=\(?\[([\d,]+)\](?:T\(([\d,]+)\))?", axes)
    listed = re.search(r"device_ids=\(([\d,]+)\)", axes)
    if order:
        numbers = _iota(order[1], order[2]).reshape(-1)
    elif listed:
        numbers = np.array([int(n) for n in listed[1].split(",")])
    dims, moved = [], []
    parts = {
        name: (int(before), int(size))
        for name, before, size in re.findall(r"'([^']+)':\((\d+)\)(\d+)", used)
    }
    whole = set(re.findall(r"'([^']+)'(?!:)", used))
    for name, size in sizes.items():
        before, inner = parts.get(name, (1, size if name in whole else 1))
        if name in parts or name in whole:
            moved.append(len(dims) + 1)
        dims += [before, inner, size // before // inner]
    grid = numbers.reshape(dims)
    return np.moveaxis(grid, moved, range(-len(moved), 0)).reshape(
        -1, math.prod(dims[i] for i in moved)
    )
