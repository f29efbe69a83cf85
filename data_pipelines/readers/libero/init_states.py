"""LIBERO's fixed initial states (`*.pruned_init`) without torch and without unpickling.

The files were written by torch.save, but hold one NumPy array: a zip with `archive/data.pkl`, a
pickle of protocol 2. This module reads the few instructions that such a pickle consists of (as
listed by pickletools, which executes nothing) and refuses any other. Names of functions in the
file are compared, never looked up, so nothing a file says can be called.
"""

from __future__ import annotations

import math
import pathlib
import pickletools
import zipfile
import zlib

import numpy as np

from data_pipelines.errors import DataError

MAX_BYTES = 4 << 20  # the published files have at most 60 kB ...
MAX_INSTRUCTIONS = 100  # ... and 41 instructions
_RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_NDARRAY, _DTYPE, _ENCODE = "numpy ndarray", "numpy dtype", "_codecs encode"
_NAMES = (*_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE)
_FLOATS = ("f4", "f8")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = ("BININT", "BININT1", "BININT2", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES")
_MARK = object()
# what pickletools, zipfile and the code below raise for files that are not what they should be
_DAMAGED = (ValueError, TypeError, LookupError, OSError, EOFError, RuntimeError)
_DAMAGED += (zipfile.BadZipFile, zlib.error)


class _Name(str):
    """A global that the pickle names."""


class _Array:
    """An array under construction: `value` once its contents were seen."""

    value: np.ndarray | None = None


class _Dtype:
    def __init__(self, code: str):
        self.code, self.order = code, "="


def read_init_states(path: str | pathlib.Path) -> np.ndarray:
    """Initial simulator states of a task, float64 (N, S).

    Raises DataError if the file is anything but a zip with a pickle of one plain float array.
    """
    path = pathlib.Path(path)
    try:
        array = _interpret(_pickle_bytes(path))
    except _DAMAGED as error:
        raise DataError(
            f"{path}: not a file of plain initial states ({error}); it was not unpickled. Get it "
            f"from the LIBERO package (hf-libero)"
        ) from error
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise DataError(f"{path}: expected finite states (N, S), got shape {array.shape}")
    return array


def _pickle_bytes(path: pathlib.Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            parts = pathlib.PurePosixPath(name).parts
            if name.startswith("/") or ".." in parts or "\\" in name:
                raise ValueError(f"member {name!r} leaves the archive")
        found = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
        if len(found) != 1:
            raise ValueError(f"{len(found)} members called */data.pkl, expected one")
        with archive.open(found[0]) as member:
            data = member.read(MAX_BYTES + 1)  # what the header says about sizes is not trusted
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return data


def _interpret(data: bytes) -> np.ndarray:
    """Runs the pickle's instructions on a stack of plain values."""
    stack, memo = [], {}
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if number >= MAX_INSTRUCTIONS:
            raise ValueError(f"more than {MAX_INSTRUCTIONS} instructions")
        if name == "STOP":
            break
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            if argument not in _NAMES:
                raise ValueError(f"it names {argument!r}")
            stack.append(_Name(argument))
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _VALUES:
            stack.append(argument)
        elif name == "TUPLE":
            mark = max(i for i, value in enumerate(stack) if value is _MARK)
            stack[mark:] = [tuple(stack[mark + 1 :])]
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "REDUCE":
            arguments = stack.pop()
            stack[-1] = _call(stack[-1], arguments)
        elif name == "BUILD":
            state = stack.pop()
            _fill(stack[-1], state)
        elif name != "PROTO":
            raise ValueError(f"instruction {name} has no place in a plain array")
    if len(stack) != 1 or not isinstance(stack[0], _Array) or stack[0].value is None:
        raise ValueError("it does not hold one array")
    return stack[0].value


def _call(name, arguments):
    if not isinstance(name, _Name) or not isinstance(arguments, tuple):
        raise ValueError("it calls something that is not a function")
    if name in _RECONSTRUCT and len(arguments) == 3 and arguments[0] == _NDARRAY:
        return _Array()
    if name == _DTYPE and arguments[0] in _FLOATS:
        return _Dtype(arguments[0])
    if name == _ENCODE and len(arguments) == 2 and arguments[1] == "latin1":
        return str(arguments[0]).encode("latin1")
    raise ValueError(f"it calls {name} with {str(arguments)[:60]}")


def _fill(target, state) -> None:
    """What numpy's __setstate__ does for a dtype and for an array, checked."""
    if isinstance(target, _Dtype) and isinstance(state, tuple) and state[1] in ("<", ">", "="):
        if any(part is not None for part in state[2:5]):
            raise ValueError("a structured type")
        target.order = state[1]
        return
    if not isinstance(target, _Array) or target.value is not None or len(state) != 5:
        raise ValueError("it sets the state of something that is not a new array")
    _, shape, dtype, fortran, contents = state
    if not isinstance(dtype, _Dtype) or not isinstance(contents, bytes):
        raise ValueError("an array of something else than numbers")
    if not all(type(side) is int and 0 <= side for side in shape):
        raise ValueError(f"shape {shape}")
    kind = np.dtype(dtype.order + dtype.code)
    if math.prod(shape) * kind.itemsize != len(contents):
        raise ValueError(f"shape {shape} does not fit {len(contents)} bytes")
    values = np.frombuffer(contents, kind).reshape(shape, order="F" if fortran else "C")
    target.value = values.astype(np.float64)
