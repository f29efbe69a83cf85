"""Frames of another prepared folder, to be shown behind a scene."""

from __future__ import annotations

import functools
import pathlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.framing import fit_frame
from data_pipelines.format.manifest import open_dataset

if TYPE_CHECKING:  # TensorFlow Datasets takes seconds, and only a video needs it
    from data_pipelines.loading.windows import ClipReader

_SPLIT = "train"


class _Episode(NamedTuple):
    """The records first .. stop - 1 of `reader`, which hold `length` frames."""

    reader: ClipReader
    first: int
    stop: int
    length: int


def content_of(folder: str) -> str:
    """The hash of what the folder holds, as its manifest says; raises DataError for a folder without
    one, and for one that holds no RGB frames."""
    content = open_dataset(folder).manifest.get("content_hash")
    if not content:
        raise DataError(f"{folder}: its manifest has no content_hash; prepare the folder again")
    _episodes(folder)
    return content


def video_frames(folder: str, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 (count, size, size, 3): frames that follow on one another in an episode of the folder, of
    a split that is called train, turning around at its ends; their middle squares."""
    episodes = _episodes(folder)
    chosen = episodes[rng.integers(len(episodes))]
    period = 2 * (chosen.length - 1)
    times = (rng.integers(period) + np.arange(count)) % period
    times = np.minimum(times, period - times)
    shown, place = np.unique(times, return_inverse=True)
    return _read(chosen, shown, size)[place]


def _read(chosen: _Episode, times: np.ndarray, size: int) -> np.ndarray:
    """The frames of these times, ascending; every record is read once."""
    starts = chosen.reader.index[chosen.first : chosen.stop, 1]
    records = np.searchsorted(starts, times, side="right") - 1
    frames = []
    for record in np.unique(records):
        offsets = times[records == record] - starts[record]
        frames += list(chosen.reader.clip(chosen.first + int(record)).decode_frames(offsets))
    return np.stack([fit_frame(frame, size, "crop") for frame in frames])


@functools.lru_cache(maxsize=2)  # one per process is opened, however many episodes it draws for
def _episodes(folder: str) -> tuple[_Episode, ...]:
    from data_pipelines.loading.windows import ClipReader

    info = open_dataset(pathlib.Path(folder))
    found = []
    for name, spec in info.datasets.items():
        held = info.counts[name].get(_SPLIT)
        if spec.image_shape[2] != 3 or not held or not held["records"]:
            continue
        reader = ClipReader(info, name, _SPLIT)
        firsts = np.flatnonzero(reader.index[:, 1] == 0)
        stops = np.append(firsts[1:], len(reader.index))
        lengths = reader.index[firsts, 3]
        found += [
            _Episode(reader, *map(int, each)) for each in zip(firsts, stops, lengths, strict=True)
        ]
    if not found:
        raise DataError(f"{folder}: holds no RGB frames in a split {_SPLIT}; name another video")
    return tuple(found)
