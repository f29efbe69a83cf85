"""The records of a spooled episode, as the examples that TFDS writes; see format/clips.py."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.conversion.spool import SpooledEpisode
from data_pipelines.format.clips import ClipRow, clip_rows
from data_pipelines.format.spec import DatasetSpec


def episode_examples(
    spec: DatasetSpec, episode: SpooledEpisode
) -> Iterator[tuple[ClipRow, dict[str, Any]]]:
    """The records of one episode, ready for TFDS."""
    for row in clip_rows(episode.episode, episode.length, spec.clip_stride, spec.max_span):
        stop = row.start + row.length
        example = row._asdict() | {
            "frames": [_tfds_frame(spec, data) for data in episode.frames[row.start : stop]],
            "episode_return": episode.episode_return,
            "behaviour": spec.behaviour,
            "source": _utf8(episode.source),
            "metadata": json.dumps(episode.metadata),
            "frame_skip": spec.frame_skip,
            "fps": spec.fps,
            "codec": spec.codec,
            "image_shape": np.array(spec.image_shape, np.int64),
        }
        for label in spec.labels:
            # States belong to frames, actions and rewards to the steps between them.
            end = stop if label == "state" else stop - 1
            example[label] = getattr(episode, label)[row.start : end]
        yield row, example


def _utf8(name: str) -> bytes:
    """A file's name as the bytes it has on disk, also where they are no UTF-8."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that no file system made
        return name.encode("utf-8", "backslashreplace")


def _tfds_frame(spec: DatasetSpec, data: bytes) -> Any:
    if spec.codec in ("png", "jpeg"):
        return io.BytesIO(data)  # arrays would make TFDS import TensorFlow
    if spec.codec == "raw":
        return np.frombuffer(data, np.uint8).reshape(spec.image_shape)
    return data
