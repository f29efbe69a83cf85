"""Batches of windows from dataset folders.

Training order: for each dataset, seed -> shuffle -> repeat -> draw the gap (and the dataset of a
pair); then mix by weight, take the rows of this process, read, batch. All randomness comes before
the cut and is a function of (seed, element index), so the global batch at step n depends on the
seed and n only. Which of its rows a process reads is the caller's to say: on a TPU the devices of
a host hold several blocks of rows (`flexlam_jax.parallel.sharding.process_rows`).
"""

from __future__ import annotations

import bisect
import itertools
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypedDict

import grain
import msgspec

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.batch_layout import Batch
from data_pipelines.loading.mixture import open_mixture
from data_pipelines.loading.opening import open_data
from data_pipelines.loading.options import LoaderOptions, loader_options
from data_pipelines.loading.ranges import check_ranges
from data_pipelines.loading.row_order import RowReference, row_sequence
from data_pipelines.loading.row_reading import OpenedData, read_rows
from data_pipelines.processes import end_with_parent
from data_pipelines.typed_json import as_type

__all__ = [
    "TrainingBatches",
    "count_windows",
    "open_dataset",
    "ordered_batches",
    "training_batches",
]


def training_batches(
    config: Mapping[str, Any],
    *,
    seed: int,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
    rows: Sequence[int] | None = None,
) -> TrainingBatches:
    """Endless shuffled batches; `config` is described by options.LoaderOptions.

    Args:
      seed: decides the order, the gaps and the datasets of pairs.
      batch_size: global B.
      process_index, process_count: reads rows p*B/P to (p+1)*B/P of every global batch.
      rows: reads these instead, ascending numbers in 0..B-1.

    Returns:
      An iterator of dicts: frames uint8 (b, T, H, W, C), gap int32 (b,), episode int64 (b,), t
      int32 (b,) (time of the first frame), dataset int32 (b,) (position in `datasets` of the
      iterator) and the `fields` asked for: action (b, T-1, ...), reward float32 (b, T-1), state
      float32 (b, T, S); for a mixture of datasets that differ see batch_layout. With pair_with:
      frames_pair uint8 (b, T, H', W', C) and dataset_pair int32 (b,) (position in
      `pair_datasets`). With views: frames_<camera> uint8 (b, T, H', W', C) for each. With
      language: language and task int32 (b,) (positions in `languages` and `tasks`). With chunk:
      action_chunk (b, chunk, ...), the actions from the first frame on, and action_chunk_mask
      bool (b, chunk), false after the last action of the episode. With frame_chunk: frame_chunk
      uint8 (b, N, H', W', C), the frames from the first one on, a frame apart whatever the gap, and
      frame_chunk_mask bool (b, N), false after the last frame of the episode. With actions_between:
      actions_between (b, T-1, G, ...), all actions from one frame to the next, G the longest gap,
      and actions_between_mask bool (b, T-1, G). What a mask excludes is zero. With sidecars: a
      column for each, and with column_chunk a chunk of each, see sidecar_columns.

    Raises:
      DataError: unknown option, dataset, split or field; empty split; damaged shard; other image
        size; no episode long enough; a batch that the processes cannot share evenly; wrong rows.
    """
    options = loader_options(config)
    given = {"seed": seed, "batch_size": batch_size}
    check_ranges(given | {"process_index": process_index, "process_count": process_count})
    if batch_size % options.pairs_per_clip:
        raise DataError(
            f"batch size {batch_size} is no multiple of data.pairs_per_clip = "
            f"{options.pairs_per_clip}; a group of neighbours belongs to one batch"
        )
    if rows is None:
        rows = _block(batch_size, process_index, process_count)
    data = open_data(options)
    data.layout.check_memory(len(rows), ahead=options.prefetch + 1)
    rows = _checked(rows, batch_size)  # After that, as they become a tuple.
    choices = data.pairs.choices if data.pairs else None
    order = row_sequence(data.datasets, seed, options.pairs_per_clip, choices)
    batches = _ProcessBatches(order, data, options.pairs_per_clip, batch_size, rows)
    return TrainingBatches(batches, options, data)


def count_windows(config: Mapping[str, Any]) -> int:
    """How many windows `training_batches` of this config draws from; no record is read.

    Raises:
      DataError: as training_batches.
    """
    return sum(len(dataset.windows) for dataset in open_mixture(loader_options(config)))


def _block(batch_size: int, index: int, count: int) -> range:
    if batch_size % count:
        raise DataError(
            f"batch size {batch_size} cannot be shared evenly by {count} processes; "
            f"use a positive multiple of {count}"
        )
    if not 0 <= index < count:
        raise DataError(f"process index {index} is not in 0..{count - 1}")
    size = batch_size // count
    return range(index * size, (index + 1) * size)


def _checked(rows: Sequence[int], batch_size: int) -> tuple[int, ...]:
    rows = tuple(int(row) for row in rows)
    inside = rows and rows[0] >= 0 and rows[-1] < batch_size
    if not inside or any(a >= b for a, b in itertools.pairwise(rows)):
        raise DataError(
            f"rows must be ascending numbers in 0..{batch_size - 1}, at least one, not {rows[:8]}"
        )
    return rows


class _ProcessBatches(grain.MapDataset):
    """Element n is this process's rows of global batch n, read and decoded."""

    def __init__(
        self,
        parent: grain.MapDataset,
        data: OpenedData,
        group: int,
        batch_size: int,
        rows: tuple[int, ...],
    ):
        """Args: group, how many rows one element of the parent is; rows of a batch to read."""
        super().__init__(parent)
        self._data, self._group, self._batch, self._rows = data, group, batch_size, rows

    def __len__(self) -> int:
        return len(self._parent) // self._batch

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.slice(index)
        rows = self._references(index * self._batch)
        return read_rows(rows, self._data)

    def _references(self, first: int) -> list[RowReference]:
        numbers = [first + row for row in self._rows]
        if self._group == 1:
            return [self._parent[number] for number in numbers]
        # Rows ascend, so those of one group follow one another.
        groups = itertools.groupby(numbers, key=lambda number: number // self._group)
        read = ((self._parent[group], members) for group, members in groups)
        return [group[number % self._group] for group, members in read for number in members]


class State(TypedDict):
    """Where a TrainingBatches is: the step of its next batch."""

    next_index: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class TrainingBatches(Iterator[Batch]):
    """Iterator over this process's part of every global batch, starting at any step at no cost.

    The state is {"next_index": n}: the next batch is that of step n. It knows nothing of processes,
    threads or paths, so it can be restored on another number of hosts. `datasets`,
    `pair_datasets`, `languages` and `tasks` are the names and texts that a batch's `dataset`,
    `dataset_pair`, `language` and `task` count.
    """

    def __init__(self, batches: grain.MapDataset, options: LoaderOptions, data: OpenedData):
        self.datasets, self.pair_datasets = data.names, data.pair_names
        self.languages, self.tasks = data.languages, data.tasks
        self._batches = batches
        self._options = options
        self._next = 0
        self._iterator = None

    def __iter__(self) -> TrainingBatches:
        return self

    def __next__(self) -> Batch:
        if self._iterator is None:
            self._iterator = self._start()
        batch = next(self._iterator)
        self._next += 1
        return batch

    def _start(self):
        options = self._options
        if options.workers:
            _allow_unparsed_flags()
            # Worker state depends on the number of workers, so the position is a slice instead.
            ahead = self._batches[self._next :].to_iter_dataset(
                grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
            )
            per_worker = max(1, options.prefetch // options.workers)
            return iter(
                ahead.mp_prefetch(
                    grain.MultiprocessingOptions(
                        options.workers, per_worker_buffer_size=per_worker
                    ),
                    worker_init_fn=end_with_parent,
                )
            )
        read = grain.ReadOptions(num_threads=options.threads, prefetch_buffer_size=options.prefetch)
        iterator = iter(self._batches.to_iter_dataset(read))
        iterator.set_state({"next_index": self._next})
        return iterator

    def get_state(self) -> dict[str, int]:
        return {"next_index": self._next}

    def set_state(self, state: Mapping[str, int]) -> None:
        self.close()
        self._next = as_type(dict(state), State, where="position in the data")["next_index"]

    def close(self) -> None:
        """Stops reading ahead; the iterator can be used again."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None


def _allow_unparsed_flags() -> None:
    """Grain's worker processes read absl flags, which raises if nobody parsed them (notebooks)."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def ordered_batches(
    path: str | pathlib.Path,
    datasets: tuple[str, ...] = (),
    split: str = "validation",
    batch_size: int = 64,
    fields: tuple[str, ...] = (),
    clip_length: int = 2,
    gap: int | str = 1,
    limit: int | None = None,
    views: tuple[str, ...] = (),
    chunk: int = 0,
    actions_between: bool = False,
    language: bool = False,
    sidecars: Mapping[str, Any] | None = None,
    spans: Sequence[range] | None = None,
) -> OrderedBatches:
    """Every window of a split exactly once, in order of dataset, episode and time.

    The last batch may be smaller. With clip_length = 2 and gap = 1 that is every transition exactly
    once. `limit` stops after that many windows. `spans` reads these windows alone, numbered in that
    order; no batch holds windows of two spans. Batches and errors are as for training_batches; a
    range of gaps is an error here.
    """
    check_ranges({"batch_size": batch_size, "limit": limit})
    options = loader_options(
        {
            "path": path,
            "datasets": datasets,
            "split": split,
            "fields": fields,
            "clip_length": clip_length,
            "gap": gap,
            "views": views,
            "chunk": chunk,
            "actions_between": actions_between,
            "language": language,
            "sidecars": sidecars or {},
        }
    )
    data = open_data(options)
    for dataset in data.datasets:
        if dataset.gap[0] != dataset.gap[1]:
            raise DataError(f"gap is {gap!r}; windows in order have one gap, give one of them")
    longest = sum(len(dataset.windows) for dataset in data.datasets)
    data.layout.check_memory(min(batch_size, longest), ahead=1)
    spans = [range(longest)] if spans is None else spans
    return OrderedBatches(data, batch_size, spans, limit)


class OrderedBatches(Iterator[Batch]):
    """Iterator over the windows of a split; its names and texts are those of TrainingBatches."""

    def __init__(
        self, data: OpenedData, batch_size: int, spans: Sequence[range], limit: int | None
    ):
        self.datasets, self.languages, self.tasks = data.names, data.languages, data.tasks
        self._data = data
        self._ends = list(itertools.accumulate(len(dataset.windows) for dataset in data.datasets))
        self._pieces = _pieces(spans, batch_size, limit)

    def __iter__(self) -> OrderedBatches:
        return self

    def __next__(self) -> Batch:
        return read_rows([self._reference(window) for window in next(self._pieces)], self._data)

    def _reference(self, window: int) -> RowReference:
        number = bisect.bisect_right(self._ends, window)
        dataset = self._data.datasets[number]
        return RowReference(
            number, window - self._ends[number] + len(dataset.windows), dataset.gap[0]
        )


def _pieces(spans: Sequence[range], size: int, limit: int | None) -> Iterator[range]:
    """Spans in pieces of at most `size`, until `limit` windows are out."""
    left = sys.maxsize if limit is None else limit
    for span in spans:
        for first in range(0, len(span), size):
            piece = span[first : first + min(size, left)]
            left -= len(piece)
            if not piece:
                return
            yield piece
