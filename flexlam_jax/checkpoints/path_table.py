"""Which tensor of a foreign checkpoint goes where in our parameters, as data.

A table is rows (pattern, to, layout), of which the first whose pattern matches a tensor's whole name
counts:

    (r"blocks\\.(\\d+)\\.attn\\.q\\.weight", r"blocks/attention/qkv/kernel[\\1,:,:,0]", "linear")

  pattern  regular expression.
  to       path of the parameter, with groups of the pattern. In brackets, where in it, as in NumPy:
           here the layer of a scanned stack, and the queries' place in a fused kernel. `\\1-4` is the
           number less four. "" is for a tensor that is known and not needed.
  layout   how its axes lie, one of LAYOUTS (tensor_layouts.py). Axes that ours splits (heads) or
           joins are reshaped.

What one table does for Stable Diffusion 3 (loading/sd3_tables.py), another does for any image or
video decoder of the same shape as a model here: a warm start is a table.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from flexlam_jax.checkpoints.safetensors_header import StoredTensor
from flexlam_jax.checkpoints.tensor_layouts import LAYOUTS
from flexlam_jax.errors import CheckpointError, ConfigError
from flexlam_jax.parallel.sharding import path_name

Row = tuple[str, str, str]
CompiledRow = tuple[re.Pattern, str, str]
Index = tuple[int | slice, ...]
MAX_LINES = 40


@dataclasses.dataclass(frozen=True)
class Move:
    """A tensor and its place: parameter `to` (path), at `index`, as `layout` says."""

    tensor: StoredTensor
    name: str
    to: str
    index: Index
    layout: str


def moves_of(
    tensors: Mapping[str, StoredTensor],
    table: Sequence[Row],
    abstract: Any,
    *,
    source: Any,
    partial: bool = False,
    remedy: str = "Give the settings of the model that it holds, or a table for it.",
) -> dict[str, list[Move]]:
    """{path of a parameter: what makes it up}; shapes are compared, nothing is read.

    Args:
      tensors: {name: tensor} of the checkpoint.
      table: see the head of this file.
      abstract: tree of ShapeDtypeStructs, the parameters.
      source: of the tensors, for messages.
      partial: parameters that no row names, and tensors that no row matches, are let be. Those that
        rows name must be complete all the same.

    Raises:
      ConfigError: a row that is none.
      CheckpointError: all tensors that are missing, left over, or of another shape, in one message.
    """
    ours = {path_name(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(abstract)}
    rows = compiled(table)
    moves: dict[str, list[Move]] = {}
    extra, unknown, misshapen = [], [], []
    for name, tensor in tensors.items():
        move = move_of(name, tensor, rows)
        if move is None:
            extra.append(name)
        elif move.to and move.to not in ours:
            unknown.append(f"{name} {tensor.shape}, for {move.to}")
        elif move.to:
            moves.setdefault(move.to, []).append(move)
            misshapen += _misfit(move, ours[move.to])
    lines = [f"  ! {line}" for line in grouped(misshapen)]
    missing = [] if partial else [path for path in ours if path not in moves]
    for path, parts in moves.items():
        missing += _holes(path, parts, ours[path])
    lines += [f"  - {line} missing in the checkpoint" for line in grouped(missing)]
    lines += [f"  + {line}, which the model does not have" for line in grouped(unknown)]
    if not partial:
        lines += [f"  + {line} only in the checkpoint" for line in grouped(extra)]
    if partial and not moves:
        lines = ["  no tensor's name matches a row of the table"]
    if lines:
        more = [f"  ... and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
        title = f"{source} does not fit the model:"
        raise CheckpointError("\n".join([title, *lines[:MAX_LINES], *more, remedy]))
    return moves


def placed(array: np.ndarray, move: Move, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor as the part of its parameter (`shape`) that it is: a view wherever one can be."""
    part = part_shape(move.index, shape)
    return LAYOUTS[move.layout](array, part).reshape(part)


def part_shape(index: Index, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the part; numbers in the index leave axes out."""
    rest = shape[len(index) :]
    return tuple(n for i, n in zip(index, shape, strict=False) if isinstance(i, slice)) + rest


def grouped(names: Iterable[str]) -> list[str]:
    """Names that differ in their first number alone, as one: "blocks.[0-11,13].weight"."""
    groups: dict[tuple[str, str], list[int]] = {}
    for name in names:
        head, number, tail = (re.split(r"(\d+)", name, maxsplit=1) + ["", ""])[:3]
        groups.setdefault((head, tail) if number else (name, ""), []).extend(
            [int(number)] if number else []
        )
    return [
        f"{head}{_ranges(sorted(numbers))}{tail}" if numbers else head
        for (head, tail), numbers in groups.items()
    ]


def _ranges(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return f"[{','.join(f'{r[0]}-{r[-1]}' if len(r) > 1 else str(r[0]) for r in runs)}]"


def compiled(table: Sequence[Row]) -> list[CompiledRow]:
    """The table as `move_of` wants it. Raises ConfigError for a row that is none."""
    rows = []
    for number, row in enumerate(table):
        try:
            pattern, to, layout = row
            rows.append((re.compile(pattern), to, layout))
        except (TypeError, ValueError, re.error) as error:
            raise ConfigError(
                f"row {number} of the path table, {row!r}, is no (pattern, to, layout): {error}"
            ) from error
        if layout not in LAYOUTS:
            raise ConfigError(
                f"row {number} of the path table has layout {layout!r}; choose one of "
                f"{tuple(LAYOUTS)}"
            )
    return rows


def move_of(name: str, tensor: StoredTensor, rows: Sequence[CompiledRow]) -> Move | None:
    """Where a tensor of a checkpoint goes; None where no row matches its name.

    Raises:
      ConfigError: the row makes no place of the name.
    """
    for pattern, to, layout in rows:
        match = pattern.fullmatch(name)
        if match:
            try:
                path, _, index = match.expand(to).partition("[")
                return Move(tensor, name, path, _index(index), layout)
            except (ValueError, re.error, IndexError) as error:
                raise ConfigError(
                    f"row {pattern.pattern!r} of the path table makes of {name!r} no place in a "
                    f"parameter: {to!r} ({error})"
                ) from error
    return None


def _index(text: str) -> Index:
    """ "3,:,:,0]" -> (3, whole axis, whole axis, 0)."""
    if not text:
        return ()
    if not text.endswith("]"):
        raise ValueError("no ] at the end")
    return tuple(slice(None) if item == ":" else _number(item) for item in text[:-1].split(","))


def _number(text: str) -> int:
    number, _, less = text.partition("-")
    return int(number) - int(less or 0)


def _misfit(move: Move, shape: tuple[int, ...]) -> list[str]:
    """A line where the tensor does not fill its place."""
    tensor = move.tensor
    told = f"{move.name} {tensor.dtype}{tensor.shape} does not fit {move.to}"
    inside = len(move.index) <= len(shape) and all(
        isinstance(i, slice) or 0 <= i < n for i, n in zip(move.index, shape, strict=False)
    )
    if not inside:
        return [f"{told} {shape}: its row has no such place"]
    part = part_shape(move.index, shape)
    try:
        # A stand-in without memory: one number, seen everywhere.
        view = LAYOUTS[move.layout](np.broadcast_to(np.uint8(0), tensor.shape), part)
        fits = tensor.dtype.kind not in "iub" and _regroups(view.shape, part)
    except (ValueError, IndexError):
        fits = False
    return [] if fits else [f"{told}, there {part}"]


def _regroups(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether one shape is the other with axes split, or joined: numbers then keep their order."""
    ends = [set(np.cumprod([n for n in shape if n != 1], dtype=object)) for shape in (one, other)]
    return math.prod(one) == math.prod(other) and (ends[0] <= ends[1] or ends[1] <= ends[0])


def _holes(path: str, moves: list[Move], shape: tuple[int, ...]) -> list[str]:
    """What the tensors leave of a parameter, or fill twice."""
    fixed = {tuple(n for n, i in enumerate(move.index) if isinstance(i, int)) for move in moves}
    if len(fixed) > 1 or any(axis >= len(shape) for axes in fixed for axis in axes):
        return [f"{path}: parts of one shape (its rows split it in several ways)"]
    (axes,) = fixed
    have = [tuple(i for i in move.index if isinstance(i, int)) for move in moves]
    if len(set(have)) < len(have):
        return [f"{path}: a place of its own for each tensor (two have one)"]
    wanted = itertools.product(*(range(shape[axis]) for axis in axes))
    lost = [index for index in wanted if index not in set(have)]
    return [f"{path}{list(index)}" for index in lost]
