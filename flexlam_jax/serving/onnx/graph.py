"""A graph of ONNX that is being written: values, constants and nodes.

A value may stand for one that is broadcast: `shape` has a 1 along an axis where the array it stands
for repeats itself. Element-wise nodes broadcast by themselves, and others ask for `full`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET, IR_VERSION = 18, 10  # What ONNX Runtime has read since 2024.
_SMALL = 64  # Numbers; constants of fewer are kept as they are.


@dataclasses.dataclass(frozen=True)
class Value:
    """An array that the graph computes.

    shape: its own.      dtype: NumPy's.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any


Known = np.ndarray  # A constant; where it is broadcast, a view of stride 0.


class Graph:
    """Nodes in the order in which they run."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple, tuple[onnx.TensorProto | None, Value]] = {}
        self._count = 0

    def name(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def node(
        self,
        op: str,
        inputs: Sequence[Value],
        shape: Sequence[int],
        dtype: Any,
        **attributes: Any,
    ) -> Value:
        """The one output of a node."""
        out = Value(self.name(), tuple(map(int, shape)), np.dtype(dtype))
        names = [value.name for value in inputs]
        self.nodes.append(helper.make_node(op, names, [out.name], **attributes))
        return out

    def constant(self, array: Known) -> Value:
        """A constant without its repetitions. Numbers that half precision holds are kept in it, so
        that a caller who has rounded the parameters has a file of half the size."""
        whole = [slice(None) if stride else slice(0, 1) for stride in array.strides]
        array = np.ascontiguousarray(array[tuple(whole)]).reshape(
            [
                1 if not stride else size
                for size, stride in zip(array.shape, array.strides, strict=True)
            ]
        )
        key = array.shape, array.dtype, array.tobytes()
        if key not in self.constants:
            value = Value(self.name(), array.shape, array.dtype)
            self.constants[key] = numpy_helper.from_array(array, value.name), value
            if array.dtype == np.float32 and array.size > _SMALL:
                with np.errstate(over="ignore"):
                    half = array.astype(np.float16)
                if np.array_equal(half.astype(np.float32), array):
                    kept = f"{value.name}h"
                    self.constants[key] = numpy_helper.from_array(half, kept), value
                    cast = helper.make_node("Cast", [kept], [value.name], to=onnx.TensorProto.FLOAT)
                    self.nodes.append(cast)
        return self.constants[key][1]

    def of(self, value: Value | Known) -> Value:
        return value if isinstance(value, Value) else self.constant(value)

    def sizes(self, numbers: Sequence[int]) -> Value:
        """Numbers that nodes take as an input: shapes, axes, starts."""
        return self.constant(np.asarray(numbers, np.int64))

    def full(self, value: Value | Known, shape: Sequence[int]) -> Value:
        """Without broadcasting: of this shape."""
        value, shape = self.of(value), tuple(shape)
        if value.shape == shape:
            return value
        return self.node("Expand", [value, self.sizes(shape)], shape, value.dtype)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        shape = tuple(shape)
        if value.shape == shape:
            return value
        return self.node("Reshape", [value, self.sizes(shape)], shape, value.dtype)

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        order = tuple(map(int, order))
        if order == tuple(range(len(order))):
            return value
        shape = [value.shape[axis] for axis in order]
        moved = [axis for axis in order if value.shape[axis] > 1]
        if moved == sorted(moved):  # Axes of size 1 alone change places.
            return self.reshape(value, shape)
        return self.node("Transpose", [value], shape, value.dtype, perm=order)

    def model(
        self, inputs: Sequence[Value], outputs: dict[str, tuple[Value, Sequence[int]]]
    ) -> onnx.ModelProto:
        """The model; outputs: name -> (value, its full shape)."""
        for name, (value, shape) in outputs.items():
            value = self.full(value, shape)
            self.nodes.append(helper.make_node("Identity", [value.name], [name]))
        graph = helper.make_graph(
            self.nodes,
            "flexlam_jax",
            [_info(value.name, value.shape, value.dtype) for value in inputs],
            [_info(name, shape, value.dtype) for name, (value, shape) in outputs.items()],
            [tensor for tensor, _ in self.constants.values()],
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)


def onnx_type(dtype: Any) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def known(array: Any) -> Known:
    """Of JAX or NumPy."""
    return np.asarray(jax.device_get(array))


def _info(name: str, shape: Sequence[int], dtype: Any) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx_type(dtype), list(shape))
