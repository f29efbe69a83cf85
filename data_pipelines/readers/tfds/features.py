"""What a record of a TFDS folder holds: `features.json` as a flat list of fields.

The file is the JSON form of tensorflow_datasets/core/proto/feature.proto.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.readers.files.opening import source_json

FILE = "features.json"
_DEEPEST = 32  # features within features
_MOST_NUMBERS = 1 << 16  # of one field in one step, that an action or a state may have


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One field of the schema. shape: of one step, None where it varies; classes: of a label."""

    key: str  # "steps/observation/image"
    kind: str  # 'image' | 'tensor' | 'text' | 'other'
    dtype: str = ""
    shape: tuple[int | None, ...] = ()
    encoding: str = "none"
    sequences: int = 0  # nested sequences around it, `steps` included
    classes: int = 0

    @property
    def is_image(self) -> bool:
        """A colour picture with 8 bits per channel, encoded or not."""
        if self.sequences != 1 or self.dtype != "uint8" or len(self.shape) != 3:
            return False
        return self.kind in ("image", "tensor") and self.shape[-1] == 3

    @property
    def is_number(self) -> bool:
        """Numbers of a fixed shape, one set per step."""
        if self.kind != "tensor" or self.sequences != 1 or None in self.shape:
            return False
        return self.numpy_dtype is not None and math.prod(self.shape) <= _MOST_NUMBERS

    @property
    def numpy_dtype(self) -> np.dtype | None:
        """Of the numbers; None for what are no plain numbers to NumPy."""
        try:
            dtype = np.dtype(self.dtype)
        except (TypeError, ValueError, SyntaxError):
            return None
        return dtype if dtype.kind in "biuf" else None


@dataclasses.dataclass
class _Shape:
    dimensions: list[int | str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _Array:
    dtype: str | None = None
    shape: _Shape | None = None
    encoding: str | None = None


@dataclasses.dataclass
class _Label:
    numClasses: int | str = 0  # noqa: N815 (names of the file)


@dataclasses.dataclass
class _Dict:
    features: dict[str, _Node] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _Sequence:
    feature: _Node


@dataclasses.dataclass
class _Node:
    """One feature: the field that is there says of what kind."""

    featuresDict: _Dict | None = None  # noqa: N815
    sequence: _Sequence | None = None
    image: _Array | None = None
    tensor: _Array | None = None
    text: dict[str, Any] | None = None
    classLabel: _Label | None = None  # noqa: N815
    content: Any = None


def read_leaves(folder: pathlib.Path) -> dict[str, Leaf]:
    """Key -> field; raises DataError for a file that is missing, damaged, or not of this form."""
    path = folder / FILE
    root = source_json(path, _Node, remedy="copy the folder again")
    return {leaf.key: leaf for leaf in _leaves(root, "", 0, path, 0)}


def integer(text: int | str, where: str) -> int:
    """An int64 as protobuf writes it to JSON, a text of digits; `where` is for the DataError."""
    try:
        value = int(text) if len(str(text)) < 20 else None
    except ValueError:
        value = None
    if value is None:
        raise DataError(f"{where} is {str(text)[:40]!r}, not a whole number; copy the folder again")
    return value


def _leaves(
    node: _Node, key: str, sequences: int, path: pathlib.Path, depth: int
) -> Iterator[Leaf]:
    if node.content is not None:
        raise DataError(f"{path} is of TFDS before 4.4; prepare the dataset again")
    if depth > _DEEPEST:
        raise DataError(f"{path}: more than {_DEEPEST} features within features at {key[:80]}")
    where = f"{path}: {key}"
    if node.featuresDict is not None:
        for name, child in node.featuresDict.features.items():
            yield from _leaves(child, f"{key}/{name}" if key else name, sequences, path, depth + 1)
    elif node.sequence is not None:
        yield from _leaves(node.sequence.feature, key, sequences + 1, path, depth + 1)
    elif node.image is not None:
        shape = _sizes(node.image, where) or (None, None, 3)
        yield Leaf(key, "image", node.image.dtype or "uint8", shape, sequences=sequences)
    elif node.tensor is not None:
        dtype, encoding = node.tensor.dtype or "", node.tensor.encoding or "none"
        kind = "text" if dtype in ("string", "object") else "tensor"
        yield Leaf(key, kind, dtype, _sizes(node.tensor, where), encoding, sequences)
    elif node.text is not None:
        yield Leaf(key, "text", "string", sequences=sequences)
    elif node.classLabel is not None:
        classes = integer(node.classLabel.numClasses, f"{where}: numClasses")
        yield Leaf(key, "tensor", "int64", sequences=sequences, classes=max(0, classes))
    else:
        yield Leaf(key, "other", sequences=sequences)


def _sizes(array: _Array, where: str) -> tuple[int | None, ...]:
    if array.shape is None:
        return ()
    sizes = [integer(size, f"{where}: a dimension") for size in array.shape.dimensions]
    return tuple(None if size < 0 else size for size in sizes)
