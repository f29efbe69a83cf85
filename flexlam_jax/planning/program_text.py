"""Reads the text of a compiled program (optimised HLO): what runs, and how often per step.

The body of a `while` loop stands in the text once; it runs as often as the compiler says
(known_trip_count), or as the constant says that the loop's condition compares its counter with.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_BYTES = {"pred": 1, "c64": 8, "c128": 16}
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_OPERATION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+)\w*\[([\d,]*)\](\{[^}]*\})?")


@dataclasses.dataclass(frozen=True)
class Operation:
    """`name = result kind(rest`, where rest holds operands and attributes."""

    name: str
    result: str
    kind: str
    rest: str
    root: bool

    @functools.cached_property
    def operands(self) -> list[str]:
        return re.findall(r"%([\w.\-]+)", self.rest.split(")")[0])

    def attribute(self, key: str) -> str | None:
        """The computation that `key=%name` names."""
        found = re.search(rf"\b{key}=%?([\w.\-]+)", self.rest)
        return found[1] if found else None


@dataclasses.dataclass(frozen=True)
class Program:
    """Computations by name, each a list of operations, and the name of the one that is run."""

    computations: dict[str, list[Operation]]
    entry: str


def read_program(hlo: str) -> Program:
    computations: dict[str, list[Operation]] = {}
    entry, lines = "", []
    for line in hlo.splitlines():
        header = _HEADER.match(line)
        if header:
            lines = computations.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
            continue
        found = _OPERATION.match(line)
        if found:
            lines.append(Operation(found[2], found[3], found[4], found[5], bool(found[1])))
    return Program(computations, entry)


def operations(
    program: Program, *, inside_fusions: bool = True
) -> Iterator[tuple[int, str, Operation]]:
    """(runs per step, computation, operation) for all that the entry reaches.

    Of a conditional every branch counts: an upper bound.
    """

    def walk(name, times):
        for operation in program.computations[name]:
            yield times, name, operation
            if operation.kind == "while":
                yield from walk(operation.attribute("body"), times * _trips(program, operation))
                continue
            if operation.kind == "fusion" and not inside_fusions:
                continue
            if operation.kind in ("fusion", "call", "conditional", "async-start"):
                branches = re.search(r"branch_computations=\{([^}]*)\}", operation.rest)
                called = (
                    [b.strip().lstrip("%") for b in branches[1].split(",")]
                    if branches
                    else [
                        operation.attribute(key)
                        for key in ("calls", "to_apply", "true_computation", "false_computation")
                    ]
                )
                for inner in called:
                    if inner in program.computations:
                        yield from walk(inner, times)

    yield from walk(program.entry, 1)


def _trips(program: Program, loop: Operation) -> int:
    known = re.search(r'known_trip_count"?:\s*\{\s*"?n"?:\s*"?(\d+)', loop.rest)
    if known:
        return int(known[1])
    constants = [
        int(found[0])
        for op in program.computations[loop.attribute("condition")]
        if op.kind == "constant"
        and re.match(r"[su]\d+\[\]", op.result)
        and (found := re.findall(r"^-?(\d+)\)", op.rest))
    ]
    return max(constants, default=1)


def array_sizes(shape: str, *, main_memory_only: bool = False) -> list[int]:
    """Bytes of each array of a shape as "(bf16[8,4]{1,0}, u32[])".

    Args:
      main_memory_only: leave out what lies in on-chip memory, S(1) and the like in its layout.
    """
    return [
        _bytes(dtype, dims)
        for dtype, dims, layout in _ARRAY.findall(shape)
        if not (main_memory_only and "S(" in layout)
    ]


def array_types(shape: str) -> dict[str, int]:
    """{element type: bytes of a shape's arrays that have it}, as {"bf16": 64, "u32": 4}."""
    types: dict[str, int] = {}
    for dtype, dims, _ in _ARRAY.findall(shape):
        types[dtype] = types.get(dtype, 0) + _bytes(dtype, dims)
    return types


def _bytes(dtype: str, dims: str) -> int:
    width = _BYTES.get(dtype) or math.ceil(int(re.search(r"\d+", dtype)[0]) / 8)
    return width * math.prod(int(n) for n in dims.split(",") if n)
