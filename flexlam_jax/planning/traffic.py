"""Bytes that a compiled program moves between main memory and the core, per device and step.

Every operation outside a fusion reads its operands and writes its result once; what the compiler
placed in on-chip memory is free. An operation that slices an array, or updates a slice of it, moves
the slice only: a scan over layers hands the stacked parameters of all layers to every iteration.
"""

from flexlam_jax.planning.program_text import Operation, Program, array_sizes, operations
from flexlam_jax.planning.program_text import read_program

_FREE = frozenset((
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional",
    "call", "after-all", "partition-id", "replica-id", "iota", "opt-barrier", "async-start"))


def memory_traffic(hlo: str) -> float:
    """Bytes read and written per device and step."""
    program = read_program(hlo)
    shapes = {name: {op.name: op.result for op in ops}
              for name, ops in program.computations.items()}
    return float(sum(
        times * _bytes(program, operation, shapes[computation])
        for times, computation, operation in operations(program, inside_fusions=False)
        if operation.kind not in _FREE and not operation.kind.endswith("-done")))


def _size(shape: str) -> int:
    return sum(array_sizes(shape, main_memory_only=True))


def _bytes(program: Program, operation: Operation, shapes: dict[str, str]) -> int:
    if operation.kind.endswith("-start"):
        return _size(operation.result)      # (source, destination, flags) in one shape.
    if operation.kind == "dynamic-slice":
        return 2 * _size(operation.result)
    if operation.kind == "dynamic-update-slice":
        return 2 * _size(shapes.get(operation.operands[1], ""))
    given = [_size(shapes.get(name, "")) for name in operation.operands]
    inner = program.computations.get(operation.attribute("calls") or "")
    if operation.kind != "fusion" or not inner:
        return _size(operation.result) + sum(given)
    return _written(operation, inner) + sum(
        _read(inner, number, size) for number, size in enumerate(given))


def _read(inner: list[Operation], number: int, size: int) -> int:
    """Bytes read of parameter `number` of a fusion, of `size` bytes."""
    name = next((op.name for op in inner
                 if op.kind == "parameter" and op.rest.startswith(f"{number})")), None)
    users = [op for op in inner if name in op.operands]
    if users and all(op.kind == "dynamic-slice" for op in users):
        return min(size, sum(sum(array_sizes(op.result)) for op in users))
    if users and all(op.kind == "dynamic-update-slice" and op.operands[0] == name
                     for op in users):
        return 0
    return size


def _written(operation: Operation, inner: list[Operation]) -> int:
    shapes = {op.name: op.result for op in inner}
    updates = [op for op in inner if op.kind == "dynamic-update-slice"
               and op.result.split("{")[0] in operation.result]
    whole = sum(sum(array_sizes(op.result)) for op in updates)
    parts = sum(sum(array_sizes(shapes.get(op.operands[1], ""))) for op in updates)
    return max(_size(operation.result) - whole, 0) + parts
