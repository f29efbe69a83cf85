"""The header of a safetensors file: JSON that names each tensor's type, shape and bytes.

A file is 8 bytes, the length of the header; the header; and the tensors' bytes. Files come from
strangers, so all that a header says is checked against the file before any of it is used.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from flexlam_jax.errors import CheckpointError

DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "F8_E4M3": jnp.float8_e4m3fn,
    "F8_E5M2": jnp.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
# The format's own limit. A longer one is what the first bytes of some other kind of file say.
MAX_HEADER = 100_000_000
REMEDY = "fetch it again, or ask who made it"


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies.

    Attributes:
      file: that holds it.  name: in that file.
      dtype, shape: of it.
      start: its first byte in the file.
    """

    file: Path
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(path: Any) -> dict[str, StoredTensor]:
    """{name: tensor} of one file; its tensors are not read.

    Raises:
      CheckpointError: a file that is none, is cut off, or whose header and bytes do not agree.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            first = file.read(8)
            length = int.from_bytes(first, "little")
            if size < 8 or length > min(MAX_HEADER, size - 8):
                raise CheckpointError(_no_header(path, first, length, size))
            text = file.read(length)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        header = json.loads(text.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file, or a damaged one: its header of {length} bytes is not "
            f"JSON ({str(error)[:100]}); {REMEDY}"
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is damaged: its header is no table of tensors; {REMEDY}")
    header.pop("__metadata__", None)
    begin = 8 + length
    tensors = {name: _stored(path, name, entry, begin) for name, entry in header.items()}
    _check_places(path, tensors, begin, size)
    return tensors


def _stored(path: Path, name: str, entry: Any, begin: int) -> StoredTensor:
    try:
        kind, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers: Sequence[Any] = [*shape, start, end]
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged: tensor {name} lacks type, shape or place ({error!r}); {REMEDY}"
        ) from error
    if str(kind) not in DTYPES:
        raise CheckpointError(
            f"{path}: tensor {name} has type {kind!r}; {', '.join(DTYPES)} are read here"
        )
    if any(type(number) is not int or not 0 <= number < 2**63 for number in numbers):
        raise CheckpointError(
            f"{path} is damaged: tensor {name} has shape {str(shape)[:100]} and a place that are no "
            f"whole numbers from 0 on; {REMEDY}"
        )
    stored = StoredTensor(path, name, np.dtype(DTYPES[kind]), tuple(shape), begin + start)
    if stored.size != end - start:
        raise CheckpointError(
            f"{path} is damaged: tensor {name} of {kind} and shape {str(shape)[:100]} does not make "
            f"the {end - start} bytes of its place; {REMEDY}"
        )
    return stored


def _check_places(path: Path, tensors: dict[str, StoredTensor], begin: int, size: int) -> None:
    for tensor in tensors.values():
        if tensor.start + tensor.size > size:
            raise CheckpointError(
                f"{path} is cut off or damaged: tensor {tensor.name} {tensor.shape} ends at byte "
                f"{tensor.start + tensor.size} of a file of {size}; {REMEDY}"
            )
    last = None
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.size)):
        if last and tensor.start < last.start + last.size:
            raise CheckpointError(
                f"{path} is damaged: tensors {last.name} and {tensor.name} share bytes; {REMEDY}"
            )
        last = tensor if tensor.size else last


def _no_header(path: Path, first: bytes, length: int, size: int) -> str:
    if first[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
        return (
            f"{path} is a pickle by its first bytes, whatever its name; it is not read here. Take "
            "the .safetensors file of the same model"
        )
    if size < 8 or length <= MAX_HEADER:
        return f"{path} is cut off: it has {size} bytes, its header alone {length}; {REMEDY}"
    return (
        f"{path} is no safetensors file: its first bytes would be a header of {length} bytes, more "
        f"than the {MAX_HEADER} that the format allows"
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name stands twice")
    return table
