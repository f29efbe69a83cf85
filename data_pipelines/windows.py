"""Random access to windows: T frames `gap` apart of one episode, read from one record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from array_record.python import array_record_data_source as array_record

from data_pipelines.builder import index_file
from data_pipelines.errors import DataError
from data_pipelines.manifest import DatasetInfo
from data_pipelines.records import Clip, check_fields, label_type
from data_pipelines.spec import DatasetSpec


class _Shard(NamedTuple):
    """What ArrayRecordDataSource wants to know, so that opening many shards reads none of them."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


class ClipReader:
    """The records of one split of one dataset.

    Thread-safe, and picklable because shards are opened lazily. Memory: 24 bytes per record, 16 of
    them in a memory-mapped file, whatever the length of the videos.
    """

    def __init__(self, info: DatasetInfo, name: str, split: str):
        self.spec: DatasetSpec = info.spec(name)
        self.split = split
        paths = info.shard_paths(name, split)
        counts = [shard["records"] for shard in info.shards[name][split]]
        shards = [_Shard(str(p), 0, n, n) for p, n in zip(paths, counts, strict=True)]
        self._records = array_record.ArrayRecordDataSource(shards)
        file = index_file(info.path, name, split)
        try:
            # A plain view of the mapped file: indexing np.memmap itself is slow.
            self.index = np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: cannot read the index ({error}); prepare it again") from error
        if self.index.shape != (sum(counts), 4):
            raise DataError(
                f"{file}: index of shape {self.index.shape}, the shards hold {sum(counts)} "
                "records; prepare the folder again"
            )

    def __len__(self) -> int:
        return len(self.index)

    def clip(self, record: int) -> Clip:
        """The parsed record; raises DataError if its shard is damaged."""
        try:
            clip = Clip(self.spec, self._records[record])
        except Exception as error:  # array_record and protobuf raise several kinds
            raise DataError(
                f"dataset {self.spec.name}, split {self.split!r}, record {record}: cannot be read "
                f"({error}); the shard is damaged, prepare the folder again"
            ) from error
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


def window_fields(
    clip: Clip, offsets: np.ndarray, gap: int, fields: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The labels of a window whose frames lie at `offsets` (T,), `gap` apart.

    action (T-1, ...): the action taken at the first frame of each transition (the only one for gap
    = 1); reward float32 (T-1,): summed over the gap; state float32 (T, S): at the frames.
    """
    out = {}
    for field in fields:
        label = clip.decode_label(field)
        if field == "action":
            out[field] = label[offsets[:-1]]
        elif field == "reward":
            out[field] = np.stack([label[o : o + gap].sum() for o in offsets[:-1]])
        else:
            out[field] = label[offsets]
    return out


class Windows:
    """All windows of one dataset's split, numbered from 0 in the order of its records."""

    def __init__(self, reader: ClipReader, clip_length: int, span: int):
        self.reader = reader
        self._steps = np.arange(clip_length)
        self._ends = np.cumsum(reader.owned_starts(span))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read_into(
        self, batch: dict[str, np.ndarray], row: int, window: int, gap: int, fields: tuple[str, ...]
    ) -> None:
        """Fills one row of a batch made by `empty_batch`."""
        record = int(self._ends.searchsorted(window, side="right"))
        offset = int(window) - (int(self._ends[record - 1]) if record else 0)
        offsets = offset + gap * self._steps
        clip = self.reader.clip(record)
        clip.decode_frames(offsets, out=batch["frames"][row])
        episode, start = self.reader.index[record, :2]
        batch["gap"][row] = gap
        batch["episode"][row] = episode
        batch["t"][row] = start + offset
        for field, value in window_fields(clip, offsets, gap, fields).items():
            batch[field][row] = value


def empty_batch(
    spec: DatasetSpec, rows: int, clip_length: int, fields: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Uninitialised arrays of a batch; shapes and types are those of loader.training_batches."""
    batch = {
        "frames": np.empty((rows, clip_length, *spec.image_shape), np.uint8),
        "gap": np.empty(rows, np.int32),
        "episode": np.empty(rows, np.int64),
        "t": np.empty(rows, np.int32),
        "dataset": np.empty(rows, np.int32),
    }
    for field in fields:
        length = clip_length if field == "state" else clip_length - 1
        shape, dtype = label_type(spec, field)
        batch[field] = np.empty((rows, length, *shape), dtype)
    return batch


def open_readers(
    info: DatasetInfo, names: tuple[str, ...], split: str, fields: tuple[str, ...]
) -> list[ClipReader]:
    """One reader per dataset; raises DataError if they cannot share a batch."""
    readers = [ClipReader(info, name, split) for name in names]
    for reader in readers:
        check_fields(reader.spec, fields)
    first = readers[0].spec
    for reader in readers[1:]:
        spec = reader.spec
        if spec.image_shape != first.image_shape:
            raise DataError(
                f"datasets {first.name} {first.image_shape} and {spec.name} {spec.image_shape} "
                "differ in image shape and cannot share a batch; prepare both at one size"
            )
        for what, different in (
            ("action", spec.action != first.action),
            ("state", len(spec.state_names) != len(first.state_names)),
        ):
            if what in fields and different:
                raise DataError(
                    f"datasets {first.name} and {spec.name} differ in {what} and cannot share a "
                    f"batch with that field; drop {what!r} from fields or read them one at a time"
                )
    return readers
