"""The episodes of a TFDS folder in RLDS schema, read without TensorFlow and decoded when needed.

One record is one episode, a tf.train.Example whose features are the schema flattened by "/": every
field of the nested sequence `steps` is one list over all steps ("steps/observation/image"). Fixed
shapes are flattened into it; a Tensor with encoding 'bytes' or 'zlib' is one byte string per step;
a nested sequence adds "/ragged_flat_values" and "/ragged_row_lengths_<i>"; a Tensor with several
unknown dimensions is split into "/value" and "/shape" (source: TFDS, example_serializer).
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.readers.files.array_record_chunks import oversized
from data_pipelines.readers.files.opening import fault
from data_pipelines.readers.pictures import picture_array
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.tfds.features import Leaf
from data_pipelines.readers.tfds.folder import FILE_FORMATS, STEPS, TfdsFolder
from data_pipelines.readers.tfds.tfrecord import parse_example, records

_LARGEST_VALUE = 1 << 28  # bytes that one value of a step may unpack to


class Pictures(Sequence):
    """The encoded pictures of an episode; each access decodes one to uint8 (H, W, 3), or raises
    ItemError as pictures.open_picture does. encoded: their bytes. where: names them in errors."""

    def __init__(self, encoded: Sequence[bytes], where: str = "pictures"):
        self.encoded, self._where = encoded, where

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Pictures(self.encoded[index], self._where)
        return picture_array(self.encoded[index], f"{self._where}, step {index}")


class Fields(Mapping):
    """Decodes fields of one record when asked: text to list[str], pictures to Pictures, numbers to
    an array over the steps (a list of arrays where the shapes vary)."""

    def __init__(self, raw: dict[str, Any], leaves: dict[str, Leaf]):
        self._raw, self._leaves = raw, leaves
        self._decoded: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        if key not in self._decoded:
            self._decoded[key] = decode(self._leaves[key], self._raw)
        return self._decoded[key]

    def __contains__(self, key: object) -> bool:  # Mapping's own would decode the field
        return key in self._leaves

    def __iter__(self) -> Iterator[str]:
        return iter(self._leaves)

    def __len__(self) -> int:
        return len(self._leaves)

    def scalars(self) -> dict[str, str | int | float | bool]:
        """The texts and numbers that the record holds one of."""
        found = {}
        for key, leaf in self._leaves.items():
            plain = leaf.kind in ("text", "tensor") and not leaf.sequences and not leaf.shape
            if plain and self.held(key):
                value = self[key]
                found[key] = value if isinstance(value, str) else value.item()
        return found

    def held(self, key: str) -> bool:
        """Whether the record has any value of a field: its schema may promise more than it has."""
        field = self._leaves[key].key
        return any(name == field or name.startswith(f"{field}/") for name in self._raw)


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode. steps: flattened key without "steps/" -> values of all its steps, decoded when
    asked for; metadata: the fields outside `steps` by flattened key ("episode_metadata/file_path"),
    one value each. number: its place in `shard`."""

    shard: str
    number: int
    steps: Fields
    metadata: Fields


def decode(leaf: Leaf, raw: dict[str, Any]) -> Any:
    """The values of one field; raises ItemError if they do not fit the schema."""
    try:
        values = _decode(leaf, raw)
    except KeyError as error:
        raise ItemError("corrupt record", f"field {error} is missing") from None
    except (ValueError, TypeError, OverflowError, MemoryError, zlib.error) as error:
        raise ItemError("corrupt record", f"field {leaf.key}: {error}") from None
    if leaf.sequences or (leaf.kind == "text" and leaf.shape):
        return values
    if len(values) != 1:
        raise ItemError("corrupt record", f"field {leaf.key}: {len(values)} values, expected one")
    return values[0]


def _decode(leaf: Leaf, raw: dict[str, Any]) -> Any:
    if leaf.sequences > 1:
        return _ragged(leaf, raw)
    if leaf.kind == "image":
        return Pictures(_byte_strings(raw[leaf.key]), leaf.key)
    if leaf.kind == "text":
        return [value.decode("utf-8", "replace") for value in _byte_strings(raw[leaf.key])]
    if leaf.kind == "other":
        return list(raw[leaf.key])
    shape = leaf.shape
    if shape.count(None) > 1:
        sizes = _whole_numbers(raw[f"{leaf.key}/shape"]).reshape(-1, len(shape)).tolist()
        values = _byte_strings(raw[f"{leaf.key}/value"])
        if len(values) != len(sizes):
            raise ValueError(f"{len(values)} values, {len(sizes)} shapes")
        return [_array(leaf, value, size) for value, size in zip(values, sizes, strict=True)]
    whole = tuple(-1 if size is None else size for size in shape)
    if leaf.encoding != "none":
        arrays = [_array(leaf, value, whole) for value in _byte_strings(raw[leaf.key])]
        return arrays if None in shape else np.stack(arrays) if arrays else np.empty((0, *whole))
    if None in shape and leaf.sequences:
        raise ValueError("its length varies and no step's length is stored")
    return _numbers(leaf, raw[leaf.key]).reshape((-1 if leaf.sequences else 1, *whole))


def _byte_strings(values: Sequence) -> Sequence[bytes]:
    if len(values) and not isinstance(values[0], bytes):
        raise ValueError(f"holds numbers ({values[0]}), not byte strings")
    return values


def _whole_numbers(values: Sequence) -> np.ndarray:
    """int64; sizes and lengths, none of which may be negative."""
    numbers = np.array(values) if len(values) else np.empty(0, np.int64)
    if numbers.dtype.kind not in "iu" or numbers.min(initial=0) < 0:
        raise ValueError(f"sizes or lengths are no whole numbers from 0 on: {numbers[:8].tolist()}")
    return numbers.astype(np.int64)


def _array(leaf: Leaf, value: bytes, shape: Sequence[int]) -> np.ndarray:
    """shape: -1 in one place where it follows from the size of the value."""
    data, dtype = value, _dtype(leaf)
    if leaf.encoding == "zlib":
        most = _LARGEST_VALUE
        if -1 not in shape:
            most = min(most, math.prod(shape) * dtype.itemsize)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(value, most + 1)
        if len(data) > most:
            raise ValueError(f"unpacks to more than {most} bytes")
        if not unpacker.eof:
            raise ValueError("its compressed stream ends early")
    return np.frombuffer(data, dtype).reshape(tuple(shape))


def _numbers(leaf: Leaf, values: Sequence) -> np.ndarray:
    dtype = _dtype(leaf)
    if not len(values):
        return np.empty(0, dtype)
    found = np.array(values)
    if found.dtype.kind not in "iuf":
        raise ValueError(f"holds byte strings, not {dtype}")
    if dtype == np.uint64:  # stored as the int64 with the same bits
        return found.astype(np.int64).view(np.uint64)
    with np.errstate(invalid="ignore"):
        numbers = found.astype(dtype)
    if dtype.kind in "iub" and (numbers != found).any():
        wrong = found[numbers != found][0]
        raise ValueError(f"holds {wrong}, which does not fit into {dtype}")
    return numbers


def _dtype(leaf: Leaf) -> np.dtype:
    if leaf.numpy_dtype is None:
        raise ValueError(f"its type {leaf.dtype[:40]!r} is not one of NumPy's numbers")
    return leaf.numpy_dtype


def _ragged(leaf: Leaf, raw: dict[str, Any]) -> list:
    """Nested sequences: the outermost list runs over the steps."""
    flat = raw[f"{leaf.key}/ragged_flat_values"]
    inner = dataclasses.replace(leaf, sequences=1)
    values = _decode(inner, raw | {leaf.key: flat})
    for level in range(leaf.sequences - 2, -1, -1):
        ends = np.cumsum([0, *_whole_numbers(raw[f"{leaf.key}/ragged_row_lengths_{level}"])])
        if ends[-1] != len(values):
            raise ValueError(f"row lengths sum to {ends[-1]}, but there are {len(values)} values")
        values = [values[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]
    return values


def shard_episodes(folder: TfdsFolder, shard: pathlib.Path) -> Iterator[Episode | ItemError]:
    """The episodes of one shard in order; a damaged one comes as an ItemError in its place."""
    steps = {k: dataclasses.replace(v, key=k) for k, v in folder.step_leaves().items()}
    outside = {key: leaf for key, leaf in folder.leaves.items() if not key.startswith(STEPS)}
    announced = folder.lengths.get(shard.name)
    number = 0
    for record in _shard_records(folder, shard):
        if isinstance(record, ItemError) and record.episodes is None:  # nothing more can be read
            lost = None if announced is None else max(1, announced - number)
            yield ItemError(record.reason, f"{record}; {_of(lost, announced)}", episodes=lost)
            return
        try:
            if isinstance(record, ItemError):
                raise record
            raw = parse_example(record)
            inner = {key[len(STEPS) :]: value for key, value in raw.items()}
            yield Episode(shard.name, number, Fields(inner, steps), Fields(raw, outside))
        except ItemError as error:
            yield ItemError(error.reason, str(error), episodes=1)
        number += 1
    if announced is not None and number < announced:  # cut between two records: leaves no trace
        lost = announced - number
        yield ItemError("truncated file", f"{shard}: {_of(lost, announced)}", episodes=lost)


def _of(lost: int | None, announced: int | None) -> str:
    if lost is None:
        return "how many episodes are lost is not known"
    return f"{lost} of the {announced} episodes that dataset_info.json announces are lost"


def _shard_records(folder: TfdsFolder, shard: pathlib.Path) -> Iterator[bytes | ItemError]:
    """As tfrecord.records, but a file that cannot be opened comes as an ItemError, too."""
    try:
        if folder.file_format == "tfrecord":
            yield from records(shard)
        else:
            yield from _array_records(shard)
    except ItemError as error:
        yield error


def _array_records(shard: pathlib.Path) -> Iterator[bytes | ItemError]:
    from array_record.python import array_record_module

    problem = fault(shard, FILE_FORMATS["array_record"])
    if problem is not None:
        raise problem
    reader = array_record_module.ArrayRecordReader(str(shard), options="readahead_buffer_size:0")
    if not reader.ok():  # it would say that it holds no records
        size = shard.stat().st_size
        raise ItemError("corrupt file", f"{shard}: no ArrayRecord, or cut ({size} bytes)")
    large = oversized(shard)
    for number in range(reader.num_records()):
        if number in large:
            detail = f"{shard}, record {number}: unpacks to more than can be an episode"
            yield ItemError("too large", detail, episodes=1)
            continue
        try:
            yield reader.read([number])[0]
        except (RuntimeError, IndexError, MemoryError) as error:
            detail = f"{shard}, record {number}: {error}"
            yield ItemError("corrupt record", detail, episodes=1)
    reader.close()
