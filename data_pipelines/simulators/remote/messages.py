"""What the owner of a simulator and the process that hosts it say to each other.

A message is an instance of one of MESSAGES. On the wire it is a frame of

    4 bytes   MAGIC, whose last byte is the version of this protocol
    4 bytes   length of the header, unsigned, little-endian
    header    JSON: {"message": name, "fields": {...}, "arrays": [[field, key, dtype, shape], ...]}
    rest      the bytes of the arrays, in that order, C-contiguous

Nothing is pickled: a message holds numbers, texts and arrays of numbers whichever interpreter and
packages wrote it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from typing import Any, BinaryIO

import numpy as np

VERSION = 2
MAGIC = b"FLS" + bytes([VERSION])
_PREFIX = struct.Struct("<4sI")
_LONGEST_HEADER = 1 << 24
_MOST_BYTES = 1 << 30  # of the arrays of a message


class ProtocolError(RuntimeError):
    """Bytes that are no message of this version."""


@dataclasses.dataclass(frozen=True)
class Start:
    """To the host, first: pictures of `size` pixels a side of `cameras`, and the world's settings."""

    size: int
    cameras: list
    settings: dict


@dataclasses.dataclass(frozen=True)
class Started:
    """Of the host: JSON-able facts about what is played, as versions of packages."""

    sources: dict


@dataclasses.dataclass(frozen=True)
class Reset:
    """To the host: begin an episode."""

    seed: int
    task: str


@dataclasses.dataclass(frozen=True)
class Act:
    """To the host: act once. Of the host: what its expert would do. action: a number or (A,)."""

    action: np.ndarray


@dataclasses.dataclass(frozen=True)
class Consult:
    """To the host: what would the scripted expert do now? Answered by Act."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """Of the host, after Reset and Act: the present instant, without its pictures.

    reward, done: of the step, 0 and False for the beginning. success: None where a task has no such
    notion. state: float32 (S,).
    """

    reward: float
    done: bool
    success: bool | None
    state: np.ndarray


@dataclasses.dataclass(frozen=True)
class Look:
    """To the host: what is seen now? Answered by Seen; nothing is drawn for who does not ask."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """Of the host. frames: camera -> uint8 (size, size, 3)."""

    frames: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Describe:
    """To the host: facts of the episode so far? Answered by Facts."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Of the host: JSON-able facts of the episode so far."""

    facts: dict


@dataclasses.dataclass(frozen=True)
class Failure:
    """Of the host, instead of an answer.

    reason: MISSING, something of the environment; UNUSABLE, the text says what the user can mend;
    RAISED, the text says what the world raised, and where.
    """

    text: str
    reason: str


MISSING, UNUSABLE, RAISED = "missing", "unusable", "raised"


Message = (
    Start | Started | Reset | Act | Consult | Moment | Look | Seen | Describe | Facts | Failure
)
MESSAGES = (
    Start,
    Started,
    Reset,
    Act,
    Consult,
    Moment,
    Look,
    Seen,
    Describe,
    Facts,
    Failure,
)
_BY_NAME = {kind.__name__: kind for kind in MESSAGES}
# What a field may hold, by its annotation.
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "bool | None": (bool, type(None)),
    "str": (str,),
    "list": (list,),
    "dict": (dict,),
    "np.ndarray": (np.ndarray,),
    "dict[str, np.ndarray]": (dict,),
}


class Channel:
    """Messages over two streams of bytes, one to read from and one to write to."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO):
        self._reading, self._writing = reading, writing

    def send(self, message: Message) -> None:
        """Raises ProtocolError for values that no message may hold, OSError if nobody listens."""
        self._writing.write(encode(message))
        self._writing.flush()

    def receive(self) -> Message:
        """The next message. Raises EOFError if the other side is gone, ProtocolError for bytes that
        are no message of this version."""
        magic, length = _PREFIX.unpack(self._read(_PREFIX.size))
        if magic != MAGIC:
            raise ProtocolError(
                f"expected a message of protocol version {VERSION}, got the bytes {magic!r}"
            )
        if length > _LONGEST_HEADER:
            raise ProtocolError(
                f"a header of {length} bytes; at most {_LONGEST_HEADER} are allowed"
            )
        header = _parse(self._read(length))
        arrays = [
            (field, key, _array(self._read(_size(dtype, shape)), dtype, shape))
            for field, key, dtype, shape in header["arrays"]
        ]
        return _build(header["message"], header["fields"], arrays)

    def close(self) -> None:
        self._writing.close()
        self._reading.close()

    def _read(self, count: int) -> bytes:
        data = self._reading.read(count)
        if len(data) < count:
            raise EOFError(f"the other side ended after {len(data)} of {count} bytes")
        return data


def encode(message: Message) -> bytes:
    """The frame of a message. Raises ProtocolError for values that it may not hold."""
    fields, arrays, body = {}, [], []

    def take(field: str, key: str, array: np.ndarray) -> None:
        array = np.asarray(array)
        if array.dtype.kind not in "biuf":
            raise ProtocolError(f"{field} {key}: arrays hold numbers, not {array.dtype}")
        arrays.append((field, key, array.dtype.newbyteorder("<").str, array.shape))
        body.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())

    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if field.type == "np.ndarray":
            take(field.name, "", value)
        elif field.type == "dict[str, np.ndarray]":
            for key, array in value.items():
                take(field.name, key, array)
        else:
            fields[field.name] = value
    content = {"message": type(message).__name__, "fields": fields, "arrays": arrays}
    try:
        header = json.dumps(content).encode()
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"{type(message).__name__} holds what is not JSON: {error}") from error
    return b"".join([_PREFIX.pack(MAGIC, len(header)), header, *body])


def _parse(header: bytes) -> dict[str, Any]:
    try:
        content = json.loads(header)
        for field, key, dtype, shape in content["arrays"]:
            if not (isinstance(field, str) and isinstance(key, str)):
                raise ValueError(f"array {field!r} {key!r}")
            _size(dtype, shape)
        content["message"], content["fields"].items()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProtocolError(f"a header that is none: {header[:80]!r} ({error!r})") from error
    return content


def _size(dtype: str, shape: list[int]) -> int:
    """Bytes of an array; raises ValueError for a type or a shape that no message has."""
    kind = np.dtype(dtype)
    if kind.kind not in "biuf" or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"an array of {dtype} {shape}")
    if math.prod(shape) * kind.itemsize > _MOST_BYTES:
        raise ValueError(f"an array of {dtype} {shape}, more than {_MOST_BYTES} bytes")
    return math.prod(shape) * kind.itemsize


def _array(data: bytes, dtype: str, shape: list[int]) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape).copy()  # writable


def _build(name: str, fields: dict[str, Any], arrays: list[tuple[str, str, np.ndarray]]) -> Message:
    """The message; raises ProtocolError for one that does not exist or has other fields."""
    kind = _BY_NAME.get(name)
    if kind is None:
        raise ProtocolError(f"no message is called {name!r}; messages: {', '.join(_BY_NAME)}")
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    values = {f: {} for f, type_ in types.items() if type_ == "dict[str, np.ndarray]"} | fields
    for field, key, array in arrays:
        if types.get(field) == "np.ndarray":
            values[field] = array
        elif types.get(field) == "dict[str, np.ndarray]":
            values[field][key] = array
        else:
            raise ProtocolError(f"{name} has no array {field!r}")
    for field, type_ in types.items():
        value = values.get(field, NotImplemented)
        wrong_bool = isinstance(value, bool) and "bool" not in type_
        if not isinstance(value, _TYPES[type_]) or wrong_bool:
            raise ProtocolError(f"{name}: field {field} should be {type_}, it is {value!r:.80}")
    if values.keys() != types.keys():
        raise ProtocolError(f"{name}: unknown fields {', '.join(values.keys() - types.keys())}")
    return kind(**values)
