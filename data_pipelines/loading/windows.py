"""Random access to windows: T frames `gap` apart of one episode, read from one record."""

from __future__ import annotations

import functools

import numpy as np
from google.protobuf.message import DecodeError

from data_pipelines.errors import DataError
from data_pipelines.format.clips import Clip
from data_pipelines.format.index import read_index
from data_pipelines.format.layout import index_file
from data_pipelines.format.manifest import AGAIN, DatasetInfo
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.loading.shard_files import ShardFiles


class ClipReader:
    """The records of one split of one dataset.

    Thread-safe, and picklable because shards are opened lazily. Memory: 24 bytes per record, 16 of
    them in a file that is memory-mapped if it is large, whatever the length of the videos.
    """

    def __init__(self, info: DatasetInfo, name: str, split: str):
        self.spec: DatasetSpec = info.spec(name)
        self.split = split
        counts = [shard["records"] for shard in info.shards[name].get(split, ())]
        self._shards = ShardFiles(info.shard_paths(name, split), counts)
        self.index = read_index(index_file(info.path, name, split), self.spec, sum(counts))

    def __len__(self) -> int:
        return len(self.index)

    def where(self, record: int) -> str:
        """Which record that is, for messages."""
        episode, start = self.index[record, :2]
        return (
            f"dataset {self.spec.name}, split {self.split!r}, {self._shards.where(record)} "
            f"(episode {episode} from frame {start})"
        )

    def clip(self, record: int) -> Clip:
        """The parsed record; raises DataError if it cannot be read or is not what it should be."""
        try:
            data = self._shards.read(record)
        except DataError as error:
            raise DataError(f"{self.where(record)}: {error}") from error
        where = functools.partial(self.where, record)
        try:
            clip = Clip(self.spec, data, where)
        except DecodeError as error:
            raise DataError(f"{where()}: is no record of ours ({error}); {AGAIN}") from error
        held = clip.integer("episode"), clip.integer("start"), clip.frame_count()
        listed = tuple(self.index[record, :3].tolist())
        if held != listed:
            raise DataError(
                f"{where()}: starts at frame {held[1]} and holds {held[2]} of episode {held[0]}, "
                f"the index says {listed[1]}, {listed[2]} and {listed[0]}; {AGAIN}"
            )
        return clip

    def owned_starts(self, span: int) -> np.ndarray:
        """int64 (records,): how many windows (t, t + span) each record owns.

        Raises DataError if `span` is longer than the records allow or than every episode.
        """
        if span > self.spec.max_span:
            raise DataError(
                f"dataset {self.spec.name}: a window spans {span} frames, its records were cut for "
                f"{self.spec.max_span}; lower gap or clip_length, or prepare with --max-span={span}"
            )
        _, start, _, episode_length = self.index.T.astype(np.int64)
        counts = np.clip(episode_length - span - start, 0, self.spec.clip_stride)
        if not counts.any():
            raise DataError(
                f"dataset {self.spec.name}, split {self.split!r}: no episode is long enough for a "
                f"window of gap*(clip_length-1)+1 = {span + 1} frames (longest: "
                f"{episode_length.max()}); lower gap or clip_length"
            )
        return counts


class Windows:
    """All windows of one dataset's split, numbered from 0 in the order of its records.

    With group = m > 1, first come the windows in whole groups of m of one record, then those that
    are left over, each in the order of the records: m neighbours then share a record where they
    can. `keep` restricts the windows to a subset, which is numbered anew. Memory: 16 bytes per
    record, and 8 per window kept.
    """

    def __init__(self, reader: ClipReader, span: int, group: int = 1):
        self.reader = reader
        owned = reader.owned_starts(span)
        self._whole = np.cumsum(owned - owned % group)
        self._left = np.cumsum(owned % group)
        self._kept: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self._whole[-1] + self._left[-1]) if self._kept is None else len(self._kept)

    @property
    def restricted(self) -> bool:
        """Whether `keep` was called."""
        return self._kept is not None

    def keep(self, kept: np.ndarray) -> None:
        """Restricts the windows to these of their present numbers, ascending int64."""
        self._kept = kept if self._kept is None else self._kept[kept]

    def of_episodes(self, episodes: np.ndarray) -> np.ndarray:
        """int64 (n,): the numbers of the windows that lie in these episodes, before any `keep`."""
        inside = np.isin(self.reader.index[:, 0], episodes)
        counts = (np.diff(ends, prepend=0) for ends in (self._whole, self._left))
        return np.flatnonzero(np.concatenate([np.repeat(inside, count) for count in counts]))

    def locate(self, window: int) -> tuple[int, int]:
        """(record, offset of the first frame in it)."""
        window = int(window if self._kept is None else self._kept[window])
        left = window - int(self._whole[-1])
        if left < 0:
            record = int(self._whole.searchsorted(window, side="right"))
            return record, window - _before(self._whole, record)
        record = int(self._left.searchsorted(left, side="right"))
        skipped = int(self._whole[record]) - _before(self._whole, record)
        return record, skipped + left - _before(self._left, record)


def _before(ends: np.ndarray, record: int) -> int:
    return int(ends[record - 1]) if record else 0
