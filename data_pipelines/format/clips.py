"""The record format: a bounded clip of consecutive frames, as a typed tf.train.Example.

Frames are encoded one by one (a pair decodes only its own two); labels are separate features stored
as bytes, which action-free reading never touches. Records are ordinary TFDS examples:
`tfds.builder_from_directory` reads them without this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_generated_pb2 as example_pb2

from data_pipelines.errors import DataError
from data_pipelines.format.codecs import get_codec
from data_pipelines.format.spec import LABELS, DatasetSpec

# Columns of the index array that lies beside each split's shards: one int32 row per record.
INDEX_COLUMNS = ("episode", "start", "length", "episode_length")


class ClipRow(NamedTuple):
    """One row of the index: frames start .. start+length-1 of an episode."""

    episode: int
    start: int
    length: int
    episode_length: int


def clip_rows(episode: int, episode_length: int, stride: int, max_span: int) -> list[ClipRow]:
    """Cuts one episode into records; see DatasetSpec for who owns which transition."""
    return [
        ClipRow(episode, start, min(stride + max_span, episode_length - start), episode_length)
        for start in range(0, episode_length - 1, stride)
    ]


def label_type(spec: DatasetSpec, label: str) -> tuple[tuple[int, ...], np.dtype]:
    """(shape, dtype) of one time step of a label."""
    if label == "action":
        return spec.action.shape, spec.action.dtype
    return ((len(spec.state_names),) if label == "state" else ()), np.dtype(np.float32)


def features(spec: DatasetSpec) -> tfds.features.FeaturesDict:
    """The TFDS features of one record; tensors state an encoding (the default is 60x slower)."""
    f = tfds.features
    if spec.codec in ("png", "jpeg"):
        frame = f.Image(shape=spec.image_shape, encoding_format=spec.codec)
    elif spec.codec == "raw":
        frame = f.Tensor(shape=spec.image_shape, dtype=np.uint8, encoding="bytes")
    else:
        frame = f.Text(doc=f"uint8 {spec.image_shape} compressed with {spec.codec}")
    typed: dict[str, Any] = {
        "frames": f.Sequence(frame),
        "episode": f.Scalar(np.int64),
        "start": f.Scalar(np.int64, doc="time index of the first frame"),
        "length": f.Scalar(np.int64, doc="frames in this record"),
        "episode_length": f.Scalar(np.int64, doc="frames in the episode"),
        "episode_return": f.Scalar(np.float32),
        "behaviour": f.Text(),
        "source": f.Text(doc="file or seed that the episode came from"),
        "metadata": f.Text(doc="JSON: language and other facts of the episode"),
        "frame_skip": f.Scalar(np.int64),
        "fps": f.Scalar(np.float32),
        "codec": f.Text(),
        "image_shape": f.Tensor(shape=(3,), dtype=np.int64),
    }
    for label in spec.labels:
        shape, dtype = label_type(spec, label)
        typed[label] = f.Tensor(shape=(None, *shape), dtype=dtype.type, encoding="bytes")
    return f.FeaturesDict(typed)


class Clip:
    """One parsed record. Frames and labels are decoded only when asked for.

    where: tells which record it is, in the DataError of what does not decode to what the spec says.
    Raises DecodeError of protobuf for bytes that are no record.
    """

    def __init__(self, spec: DatasetSpec, record: bytes, where: Callable[[], str] | None = None):
        self._spec = spec
        self._where = where or (lambda: f"dataset {spec.name}")
        message = example_pb2.Example()
        message.ParseFromString(record)
        self._features = message.features.feature
        self._frames = self._features["frames"].bytes_list.value

    def frame_count(self) -> int:
        return len(self._frames)

    def encoded_frame(self, offset: int) -> bytes:
        return self._frames[offset]

    def integer(self, name: str) -> int:
        values = self._features[name].int64_list.value
        if len(values) != 1:
            raise self._fault(f"{name} holds {len(values)} numbers, expected one")
        return values[0]

    def decode_frames(self, offsets: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """uint8 (T, H, W, C): the frames at these offsets in the record, in `out` if given.

        Raises DataError for a frame that does not decode to the spec's shape.
        """
        spec = self._spec
        decode = get_codec(spec.codec).decode
        if out is None:
            out = np.empty((len(offsets), *spec.image_shape), np.uint8)
        try:
            for i, offset in enumerate(offsets):
                out[i] = decode(self._frames[offset], spec.image_shape)
        except MemoryError:
            raise
        except Exception as error:  # decoders of pictures raise nearly everything
            raise self._fault(
                f"frame {offset} does not decode from {spec.codec} to {spec.image_shape} ({error})"
            ) from error
        return out

    def decode_label(self, label: str) -> np.ndarray:
        """action (L-1, ...), reward float32 (L-1,) or state float32 (L, S) of the whole record.

        Raises DataError for a label of another length, and for numbers that are no action.
        """
        values = self._features[label].bytes_list.value
        data = values[0] if len(values) == 1 else b""
        shape, dtype = label_type(self._spec, label)
        count = self.frame_count() - (label != "state")
        expected = dtype.itemsize * count * int(np.prod(shape, dtype=np.int64))
        if len(data) != expected:
            raise self._fault(f"{label} holds {len(data)} bytes, expected {expected}")
        decoded = np.frombuffer(data, dtype).reshape(count, *shape)
        if label == "action" and dtype.kind == "i":  # numbers of actions: used as positions
            fault = self._spec.action.fault(decoded)
            if fault:
                raise self._fault(fault)
        return decoded

    def _fault(self, what: str) -> DataError:
        return DataError(f"{self._where()}: {what}; the shard is damaged, prepare the folder again")


def check_fields(spec: DatasetSpec, fields: tuple[str, ...]) -> None:
    """Raises DataError if a field is unknown or this dataset does not hold it."""
    for field in fields:
        if field not in LABELS:
            raise DataError(f"unknown field {field!r}; fields are {', '.join(LABELS)}")
        if field not in spec.labels:
            held = ", ".join(spec.labels) or "none (video only)"
            raise DataError(
                f"dataset {spec.name} has no field {field!r}; it holds: {held}. Drop the field, or "
                "leave this dataset out of data.datasets"
            )
