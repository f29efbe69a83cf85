"""From a traced function to a graph of ONNX.

    data = to_onnx(function)            # a serving.functions.Function, with one row

What does not depend on the arguments is computed here and now, loops over layers are unrolled, and
the rest is written node by node (rules.py). Numbers are those of JAX, but for rounding.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.serving.functions import ROWS, Function
from flexlam_jax.serving.onnx.graph import Graph, Value, known
from flexlam_jax.serving.onnx.rules import BROADCASTING, RULES, Input


def to_onnx(function: Function) -> bytes:
    """A model with the arguments and results of the function by name, for one row.

    Raises:
      UserError: a part of it that is not written in ONNX here.
    """
    graph, shapes = Graph(), []
    for argument in function.arguments:
        shape = tuple(1 if size == ROWS else int(size) for size in argument.shape)
        shapes.append(jax.ShapeDtypeStruct(shape, argument.dtype))
    closed, result = jax.make_jaxpr(function.call, return_shape=True)(*shapes)
    arguments = [
        Value(argument.name, is_.shape, np.dtype(is_.dtype))
        for argument, is_ in zip(function.arguments, shapes, strict=True)
    ]
    try:
        outputs = _written(graph, closed.jaxpr, closed.consts, arguments)
    except NotImplementedError as error:
        raise UserError(f"{function.name} cannot be written as ONNX: {error}") from error
    names = sorted(result)  # The order in which JAX flattens a dict.
    told = {
        name: (graph.of(value), result[name].shape)
        for name, value in zip(names, outputs, strict=True)
    }
    return graph.model(arguments, told).SerializeToString()


def _written(graph: Graph, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Input]) -> list:
    """Values of the outputs of a jaxpr; writes what is needed for them into the graph."""
    held: dict[Any, Input] = dict(zip(jaxpr.constvars, map(known, consts), strict=True))
    held.update(zip(jaxpr.invars, inputs, strict=True))

    def read(variable):
        literal = hasattr(variable, "val")
        return np.asarray(variable.val, variable.aval.dtype) if literal else held[variable]

    for equation in jaxpr.eqns:
        given = [read(variable) for variable in equation.invars]
        held.update(zip(equation.outvars, _equation(graph, equation, given), strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _equation(graph: Graph, equation: Any, given: list[Input]) -> list[Input]:
    name, told = equation.primitive.name, equation.params
    if name == "scan":
        return _unrolled(graph, told, given)
    inner = told.get("jaxpr") or told.get("call_jaxpr")
    if inner is not None and name not in ("while", "cond"):  # A call: of jit, of a custom gradient.
        return _written(graph, getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), given)
    results = [variable.aval for variable in equation.outvars]
    if all(0 in is_.shape for is_ in results):  # A 0 in a shape means another thing there.
        return [np.zeros(is_.shape, is_.dtype) for is_ in results]
    shape = tuple(results[0].shape)
    if not any(isinstance(value, Value) for value in given):
        return _computed(equation, given, shape)
    if name not in RULES:
        raise NotImplementedError(f"nobody has said what the operation {name!r} is there")
    if name not in BROADCASTING and name != "broadcast_in_dim":
        shapes = [variable.aval.shape for variable in equation.invars]
        whole = zip(given, shapes, strict=True)
        given = [graph.full(value, is_) for value, is_ in whole if 0 not in is_]  # Joined: nothing.
    out = RULES[name](graph, told, given, shape)
    return list(out) if isinstance(out, list) else [out]


def _computed(equation: Any, given: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """What is constant; one that repeats itself stays a view of what it repeats."""
    if equation.primitive.name == "broadcast_in_dim":
        own = np.ones(len(shape), int)
        own[list(equation.params["broadcast_dimensions"])] = given[0].shape
        return [np.broadcast_to(given[0].reshape(own), shape)]
    out = equation.primitive.bind(*map(jax.numpy.asarray, given), **equation.params)
    return [known(one) for one in (out if equation.primitive.multiple_results else [out])]


def _unrolled(graph: Graph, told: dict[str, Any], given: list[Input]) -> list[Input]:
    """A loop of known length, body after body."""
    constant, carried = _parts(told)
    body, length = told["jaxpr"], told["length"]
    held, carry, over = (
        given[:constant],
        given[constant : constant + carried],
        given[constant + carried :],
    )
    results = []
    for number in reversed(range(length)) if told["reverse"] else range(length):
        each = [_one(graph, x, number) for x in over]
        out = _written(graph, body.jaxpr, body.consts, [*held, *carry, *each])
        carry = out[:carried]
        results.append(out[carried:])
    if told["reverse"]:
        results.reverse()
    shapes = [variable.aval.shape for variable in body.jaxpr.outvars[carried:]]
    stacked = []
    for parts, shape in zip(zip(*results, strict=True), shapes, strict=True):
        parts = [graph.reshape(graph.full(part, shape), (1, *shape)) for part in parts]
        dtype = parts[0].dtype
        stacked.append(graph.node("Concat", parts, (length, *shape), dtype, axis=0))
    return [*carry, *stacked]


def _parts(told: dict[str, Any]) -> tuple[int, int]:
    """How many inputs of a loop are constant, and how many it carries along."""
    if "ft_in" not in told:
        return told["num_consts"], told["num_carry"]
    constant, carried, _ = told["ft_in"].unpack()  # From jax 0.12 on.
    return len(constant), len(carried)


def _one(graph: Graph, x: Input, number: int) -> Input:
    """x[number]."""
    if not isinstance(x, Value):
        return x[number]
    if x.shape[0] == 1:  # Broadcast, or a loop of one.
        return graph.reshape(x, x.shape[1:])
    numbers = [number], [number + 1], [0]
    part = graph.node("Slice", [x, *map(graph.sizes, numbers)], (1, *x.shape[1:]), x.dtype)
    return graph.reshape(part, x.shape[1:])
