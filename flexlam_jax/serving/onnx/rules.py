"""How the primitives of JAX are written in ONNX: RULES, primitive -> rule.

A rule (graph, what the primitive is told, its inputs, the shape of its first output) -> the output, or
a list of them. Inputs are values, or constants where others are values; what is constant altogether was
computed before.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flexlam_jax.serving.onnx.graph import Graph, Known, Value, onnx_type

Input = Value | Known
Rule = Callable[[Graph, dict[str, Any], Sequence[Input], tuple[int, ...]], Value | list[Value]]


def _elementwise(op: str, result: Any = None) -> Rule:
    def rule(graph, told, inputs, shape):
        given = [graph.of(value) for value in inputs]
        own = np.broadcast_shapes(*(value.shape for value in given))
        return graph.node(op, given, own, result or given[-1].dtype)

    return rule


def _chain(*rules: Rule) -> Rule:
    """The rules after one another, each of what the one before gave."""

    def rule(graph, told, inputs, shape):
        for one in rules:
            inputs = [one(graph, told, inputs, shape)]
        return inputs[0]

    return rule


def _same(graph, told, inputs, shape):
    return graph.of(inputs[0])


def _square(graph, told, inputs, shape):
    return _elementwise("Mul")(graph, told, [inputs[0], inputs[0]], shape)


def _integer_pow(graph, told, inputs, shape):
    x, power = inputs[0], told["y"]
    if power not in (2, 3):
        return _elementwise("Pow")(graph, told, [x, np.asarray(power, x.dtype)], shape)
    y = _square(graph, told, inputs, shape)
    return y if power == 2 else _elementwise("Mul")(graph, told, [y, x], shape)


def _round(graph, told, inputs, shape):
    if int(told["rounding_method"]) != 1:
        raise NotImplementedError("rounding away from zero")
    return _elementwise("Round")(graph, told, inputs, shape)  # Halves to even, in both.


def _remainder(graph, told, inputs, shape):
    given = [graph.of(value) for value in inputs]
    own = np.broadcast_shapes(*(value.shape for value in given))
    return graph.node("Mod", given, own, given[0].dtype, fmod=1)  # Of the sign of what is divided.


def _select(graph, told, inputs, shape):
    which, *cases = inputs
    if len(cases) != 2 or which.dtype != bool:
        raise NotImplementedError("a choice among more than two")
    return _elementwise("Where")(graph, told, [which, cases[1], cases[0]], shape)


def _clamp(graph, told, inputs, shape):
    low, x, high = inputs
    x = _elementwise("Max")(graph, told, [x, low], shape)
    return _elementwise("Min")(graph, told, [x, high], shape)


def _cast(graph, told, inputs, shape):
    x, dtype = graph.of(inputs[0]), np.dtype(told["new_dtype"])
    if x.dtype == dtype:
        return x
    return graph.node("Cast", [x], x.shape, dtype, to=onnx_type(dtype))


def _broadcast(graph, told, inputs, shape):
    x, places = graph.of(inputs[0]), told["broadcast_dimensions"]
    own = [1] * len(shape)
    for axis, place in enumerate(places):
        own[place] = x.shape[axis]
    return graph.reshape(x, own)


def _reshape(graph, told, inputs, shape):
    return graph.reshape(inputs[0], shape)


def _transpose(graph, told, inputs, shape):
    return graph.transpose(inputs[0], told["permutation"])


def _reduction(op: str) -> Rule:
    def rule(graph, told, inputs, shape):
        axes = graph.sizes(told["axes"])
        return graph.node(op, [inputs[0], axes], shape, inputs[0].dtype, keepdims=0)

    return rule


def _concatenate(graph, told, inputs, shape):
    if len(inputs) == 1:
        return inputs[0]
    return graph.node("Concat", inputs, shape, inputs[0].dtype, axis=int(told["dimension"]))


def _slice(graph, told, inputs, shape):
    x, steps = inputs[0], told["strides"] or (1,) * len(shape)
    numbers = told["start_indices"], told["limit_indices"], range(len(shape)), steps
    return graph.node("Slice", [x, *map(graph.sizes, numbers)], shape, x.dtype)


def _split(graph, told, inputs, shape):
    x, axis, parts, first = inputs[0], told["axis"], [], 0
    for size in told["sizes"]:
        own = (*shape[:axis], int(size), *shape[axis + 1 :])
        numbers = [first], [first + int(size)], [axis]
        parts.append(graph.node("Slice", [x, *map(graph.sizes, numbers)], own, x.dtype))
        first += int(size)
    return parts


def _pad(graph, told, inputs, shape):
    low, high, inner = zip(*told["padding_config"], strict=True)
    if min(*low, *high, 0) < 0 or any(inner):
        raise NotImplementedError("padding that cuts, or lies between")
    x, value = inputs
    value = graph.reshape(value, ())
    return graph.node("Pad", [x, graph.sizes((*low, *high)), value], shape, x.dtype)


def _gather(graph, told, inputs, shape):
    """Rows of a table by their numbers, which are in its range."""
    table, ids = inputs
    numbers = told["dimension_numbers"]
    rows = (0,), (0,), (), (1, *table.shape[1:])
    last = tuple(range(len(shape) - len(table.shape) + 1, len(shape)))
    if last != numbers.offset_dims or rows != (
        numbers.collapsed_slice_dims,
        numbers.start_index_map,
        numbers.operand_batching_dims,
        told["slice_sizes"],
    ):
        raise NotImplementedError("a lookup of anything but rows of a table")
    ids = graph.reshape(ids, ids.shape[:-1])
    return graph.node("Gather", [table, ids], shape, table.dtype, axis=0)


def _dot(graph, told, inputs, shape):
    """(batch, rows, inner) times (batch, inner, columns), as MatMul has it."""
    (inner, batch), columns = told["dimension_numbers"], []
    for x, summed, shared in zip(inputs, inner, batch, strict=True):
        free = [axis for axis in range(len(x.shape)) if axis not in (*summed, *shared)]
        columns.append((x, list(shared), free, list(summed)))
    (a, shared, rows, summed), (b, shared_b, free, summed_b) = columns
    size = lambda x, axes: math.prod(x.shape[axis] for axis in axes)
    left = graph.transpose(a, shared + rows + summed)
    right = graph.transpose(b, shared_b + summed_b + free)
    lead = [size(a, shared)] if size(a, shared) > 1 else []
    left = graph.reshape(left, [*lead, size(a, rows), size(a, summed)])
    right = graph.reshape(right, [*lead, size(a, summed), size(b, free)])
    out = graph.node("MatMul", [left, right], [*lead, size(a, rows), size(b, free)], a.dtype)
    return graph.reshape(out, shape)


def _convolution(graph, told, inputs, shape):
    numbers = told["dimension_numbers"]
    if told["batch_group_count"] != 1 or any(n != 1 for n in told["lhs_dilation"]):
        raise NotImplementedError("a transposed convolution")
    x = graph.transpose(inputs[0], numbers.lhs_spec)
    kernel = graph.transpose(inputs[1], numbers.rhs_spec)
    low, high = zip(*told["padding"], strict=True)
    out = graph.node(
        "Conv",
        [x, kernel],
        [shape[axis] for axis in numbers.out_spec],
        x.dtype,
        pads=[*low, *high],
        strides=list(told["window_strides"]),
        dilations=list(told["rhs_dilation"]),
        group=int(told["feature_group_count"]),
    )
    return graph.transpose(out, np.argsort(numbers.out_spec))


# Whose inputs may be broadcast: all others are given full ones.
BROADCASTING: dict[str, Rule] = {
    **{name: _elementwise(op) for name, op in {
        "abs": "Abs", "add": "Add", "and": "And", "cos": "Cos", "div": "Div", "erf": "Erf",
        "exp": "Exp", "floor": "Floor", "log": "Log", "logistic": "Sigmoid", "max": "Max",
        "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not", "or": "Or", "pow": "Pow",
        "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh",
    }.items()},
    **{name: _elementwise(op, bool) for name, op in {
        "eq": "Equal", "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "lt": "Less",
    }.items()},
    "clamp": _clamp,
    "convert_element_type": _cast,
    "copy": _same,
    "integer_pow": _integer_pow,
    "name": _same,
    "ne": _chain(_elementwise("Equal", bool), _elementwise("Not")),
    "rem": _remainder,
    "round": _round,
    "rsqrt": _chain(_elementwise("Sqrt"), _elementwise("Reciprocal")),
    "select_n": _select,
    "square": _square,
    "stop_gradient": _same,
}  # fmt: skip
RULES: dict[str, Rule] = {
    **BROADCASTING,
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "dot_general": _dot,
    "gather": _gather,
    "pad": _pad,
    "reduce_max": _reduction("ReduceMax"),
    "reduce_sum": _reduction("ReduceSum"),
    "reshape": _reshape,
    "slice": _slice,
    "split": _split,
    "squeeze": _reshape,
    "transpose": _transpose,
}
