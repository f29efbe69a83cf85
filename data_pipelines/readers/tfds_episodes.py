"""The episodes of a TFDS folder in RLDS schema, read without TensorFlow and decoded when needed.

One record is one episode, a tf.train.Example whose features are the schema flattened by "/": every
field of the nested sequence `steps` is one list over all steps ("steps/observation/image"). Fixed
shapes are flattened into it; a Tensor with encoding 'bytes' or 'zlib' is one byte string per step;
a nested sequence adds "/ragged_flat_values" and "/ragged_row_lengths_<i>"; a Tensor with several
unknown dimensions is split into "/value" and "/shape" (source: TFDS, example_serializer).
"""

from __future__ import annotations

import dataclasses
import io
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.recordings import ItemError
from data_pipelines.readers.tfds_folder import STEPS, Leaf, TfdsFolder
from data_pipelines.readers.tfrecord import parse_example, records


class Pictures(Sequence):
    """The encoded pictures of an episode; each access decodes one to uint8 (H, W, 3)."""

    def __init__(self, encoded: Sequence[bytes]):
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Pictures(self._encoded[index])
        with Image.open(io.BytesIO(self._encoded[index])) as image:
            return np.asarray(image.convert("RGB"))


class Fields(Mapping):
    """Decodes fields of one record when asked: text to list[str], pictures to Pictures, numbers to
    an array over the steps (a list of arrays where the shapes vary)."""

    def __init__(self, raw: dict[str, Any], leaves: dict[str, Leaf]):
        self._raw, self._leaves = raw, leaves

    def __getitem__(self, key: str) -> Any:
        return decode(self._leaves[key], self._raw)

    def __iter__(self) -> Iterator[str]:
        return iter(self._leaves)

    def __len__(self) -> int:
        return len(self._leaves)


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode. steps: flattened key without "steps/" -> values of all its steps, decoded when
    asked for; metadata: the fields outside `steps` by flattened key ("episode_metadata/file_path"),
    one value each. number: its place in `shard`."""

    shard: str
    number: int
    steps: Mapping[str, Any]
    metadata: Mapping[str, Any]


def decode(leaf: Leaf, raw: dict[str, Any]) -> Any:
    """The values of one field; raises ItemError if they do not fit the schema."""
    try:
        values = _decode(leaf, raw)
    except KeyError as error:
        raise ItemError("corrupt record", f"field {error} is missing") from None
    except (ValueError, zlib.error, UnicodeDecodeError) as error:
        raise ItemError("corrupt record", f"field {leaf.key}: {error}") from None
    if leaf.sequences:
        return values
    if len(values) != 1:
        raise ItemError("corrupt record", f"field {leaf.key}: {len(values)} values, expected one")
    return values[0]


def _decode(leaf: Leaf, raw: dict[str, Any]) -> Any:
    if leaf.sequences > 1:
        return _ragged(leaf, raw)
    if leaf.kind == "image":
        return Pictures(raw[leaf.key])
    if leaf.kind == "text" and not leaf.shape:
        return [value.decode() for value in raw[leaf.key]]
    if leaf.kind in ("text", "other"):
        return list(raw[leaf.key])
    shape = leaf.shape
    if shape.count(None) > 1:
        sizes = np.array(raw[f"{leaf.key}/shape"], int).reshape(-1, len(shape))
        values = raw[f"{leaf.key}/value"]
        if len(values) != len(sizes):
            raise ValueError(f"{len(values)} values, {len(sizes)} shapes")
        return [_array(leaf, value).reshape(size) for value, size in zip(values, sizes)]
    whole = tuple(-1 if size is None else size for size in shape)
    if leaf.encoding != "none":
        arrays = [_array(leaf, value).reshape(whole) for value in raw[leaf.key]]
        return arrays if None in shape else np.stack(arrays) if arrays else np.empty((0, *whole))
    if None in shape and leaf.sequences:
        raise ValueError("its length varies and no step's length is stored")
    return _numbers(leaf, raw[leaf.key]).reshape((-1, *whole))


def _array(leaf: Leaf, value: bytes) -> np.ndarray:
    data = zlib.decompress(value) if leaf.encoding == "zlib" else value
    return np.frombuffer(data, _dtype(leaf))


def _numbers(leaf: Leaf, values: Sequence) -> np.ndarray:
    dtype = _dtype(leaf)
    if dtype == np.uint64:  # stored as the int64 with the same bits
        return np.array(values, np.int64).view(np.uint64)
    return np.array(values).astype(dtype)


def _dtype(leaf: Leaf) -> np.dtype:
    try:
        return np.dtype(leaf.dtype)
    except TypeError:
        raise ValueError(f"its type {leaf.dtype} is not one of NumPy's") from None


def _ragged(leaf: Leaf, raw: dict[str, Any]) -> list:
    """Nested sequences: the outermost list runs over the steps."""
    flat = raw[f"{leaf.key}/ragged_flat_values"]
    inner = dataclasses.replace(leaf, sequences=1)
    values = _decode(inner, raw | {leaf.key: flat})
    for level in range(leaf.sequences - 2, -1, -1):
        ends = np.cumsum([0, *raw[f"{leaf.key}/ragged_row_lengths_{level}"]])
        if ends[-1] != len(values):
            raise ValueError(f"row lengths sum to {ends[-1]}, but there are {len(values)} values")
        values = [values[start:end] for start, end in zip(ends[:-1], ends[1:])]
    return values


def shard_episodes(folder: TfdsFolder, shard: pathlib.Path) -> Iterator[Episode | ItemError]:
    """The episodes of one shard in order; a damaged one comes as an ItemError in its place."""
    steps = {k: dataclasses.replace(v, key=k) for k, v in folder.step_leaves().items()}
    outside = {key: leaf for key, leaf in folder.leaves.items() if not key.startswith(STEPS)}
    number, damaged = -1, False
    for number, record in enumerate(_shard_records(folder, shard)):
        try:
            if isinstance(record, ItemError):
                raise record
            raw = parse_example(record)
        except ItemError as error:
            damaged = True
            yield error
            continue
        inner = {key[len(STEPS) :]: value for key, value in raw.items()}
        yield Episode(shard.name, number, Fields(inner, steps), Fields(raw, outside))
    announced = folder.lengths.get(shard.name, 0)
    if number + 1 < announced and not damaged:  # cut between two records, which leaves no trace
        yield ItemError(
            "truncated file", f"{shard}: {number + 1} records, dataset_info.json says {announced}"
        )


def _shard_records(folder: TfdsFolder, shard: pathlib.Path) -> Iterator[bytes | ItemError]:
    if folder.file_format == "tfrecord":
        yield from records(shard)
        return
    from array_record.python import array_record_module

    reader = array_record_module.ArrayRecordReader(str(shard), options="readahead_buffer_size:0")
    if not reader.ok():  # it would say that it holds no records
        size = shard.stat().st_size
        yield ItemError("corrupt file", f"{shard}: no ArrayRecord, or cut ({size} bytes)")
        return
    for number in range(reader.num_records()):
        try:
            yield reader.read([number])[0]
        except (RuntimeError, IndexError) as error:
            yield ItemError("corrupt record", f"{shard}, record {number}: {error}")
    reader.close()
