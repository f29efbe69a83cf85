"""Bytes that a compiled program moves between main memory and the core, per device and step.

Every operation outside a fusion reads its operands and writes its result once; what the compiler
placed in on-chip memory is free. An operation that slices an array, or updates a slice of it, moves
the slice only, however deep in a fusion it stands: a scan over layers hands the parameters and
saved activations of all layers to every iteration.
"""

import re

from flexlam_jax.planning.program_text import (
    Operation,
    Program,
    array_sizes,
    operations,
    read_program,
)

_FREE = frozenset(
    (
        "parameter",
        "constant",
        "tuple",
        "get-tuple-element",
        "bitcast",
        "while",
        "conditional",
        "call",
        "after-all",
        "partition-id",
        "replica-id",
        "iota",
        "opt-barrier",
        "async-start",
    )
)
_SLICES = frozenset(("dynamic-slice", "slice"))


def memory_traffic(hlo: str) -> float:
    """Bytes read and written per device and step."""
    program = read_program(hlo)
    shapes = {
        name: {op.name: op.result for op in ops} for name, ops in program.computations.items()
    }
    return float(
        sum(
            times * _bytes(program, operation, shapes[computation])
            for times, computation, operation in operations(program, inside_fusions=False)
            if operation.kind not in _FREE
            and not operation.kind.endswith("-done")
            # The end of a collective in flight is a fusion on TPUs; what it hands on is written
            # before.
            and not operation.name.startswith("async-collective-done")
        )
    )


def _size(shape: str) -> int:
    return sum(array_sizes(shape, main_memory_only=True))


def _bytes(program: Program, operation: Operation, shapes: dict[str, str]) -> int:
    if operation.kind == "slice-start":  # ((source), slice, flags), the slice perhaps on chip.
        part = sorted(array_sizes(operation.result))[-2]
        return part + min(
            part, sorted([0, *array_sizes(operation.result, main_memory_only=True)])[-2]
        )
    if operation.kind.endswith("-start"):
        return _size(operation.result)  # (source, destination, flags) in one shape.
    if operation.kind in _SLICES:
        return 2 * _size(operation.result)
    if operation.kind == "dynamic-update-slice":
        return 2 * _size(shapes.get(operation.operands[1], ""))
    given = [_size(shapes.get(name, "")) for name in operation.operands]
    inner = program.computations.get(operation.attribute("calls") or "")
    if operation.kind != "fusion" or not inner:
        return _size(operation.result) + sum(given)
    passing = _passing(operation)
    return _written(program, operation, inner) + sum(
        _read(program, inner, number, size)
        for number, size in enumerate(given)
        if number not in passing
    )


def _passing(operation: Operation) -> set[int]:
    """Operands of a collective in flight that a fusion hands on; the collective counts itself."""
    if "calls=%async_collective" not in operation.rest:
        return set()
    return {int(number) for number in re.findall(r"\{\d+\}: \((\d+), \{\}\)", operation.rest)}


def _read(program: Program, inner: list[Operation], number: int, size: int) -> int:
    """Bytes read of parameter `number` of a fusion, of `size` bytes."""
    name = next(
        (op.name for op in inner if op.kind == "parameter" and op.rest.startswith(f"{number})")),
        None,
    )
    users = [op for op in inner if name in op.operands]
    if not users:
        return size
    return min(size, sum(_used(program, inner, op, name, size) for op in users))


def _used(program: Program, inner: list[Operation], user: Operation, name: str, size: int) -> int:
    """Bytes that one operation inside a fusion needs of the array `name`."""
    if user.kind in _SLICES:
        return sum(array_sizes(user.result))
    if user.kind == "dynamic-update-slice" and user.operands[0] == name:
        return 0
    if user.kind == "bitcast":
        users = [op for op in inner if user.name in op.operands]
        return sum(_used(program, inner, op, user.name, size) for op in users) if users else size
    called = program.computations.get(user.attribute("calls") or "")
    if user.kind == "fusion" and called:
        return sum(
            _read(program, called, place, size)
            for place, operand in enumerate(user.operands)
            if operand == name
        )
    return size


def _written(program: Program, operation: Operation, inner: list[Operation]) -> int:
    shapes = {op.name: op.result for op in inner}
    updates = [
        op
        for op in inner
        if op.kind == "dynamic-update-slice" and op.result.split("{")[0] in operation.result
    ]
    whole = sum(sum(array_sizes(op.result)) for op in updates)
    parts = sum(sum(array_sizes(shapes.get(op.operands[1], ""))) for op in updates)
    result = _size(operation.result)
    if _passing(operation):  # The first result is computed, the others are handed on.
        result = _size(operation.result.split("}, ")[0] + "}")
    return max(result - whole, 0) + parts
