"""Batches of windows from dataset folders.

Training order: for each dataset, seed -> shuffle -> repeat -> draw the gap (and the partner of a
pair); then mix by weight, take the rows of this process, read, batch. All randomness comes before the
cut and is a function of (seed, element index), so the global batch at step n depends on the seed
and n only. Which of its rows a process reads is the caller's to say: on a TPU the devices of a
host hold several blocks of rows (`flexlam_jax.parallel.sharding.process_rows`).
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypedDict

import grain
import msgspec

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.batch_layout import Batch, BatchLayout
from data_pipelines.loading.mixture import Source, common_image_shape, open_sources
from data_pipelines.loading.options import LoaderOptions, loader_options
from data_pipelines.loading.pairing import Partners
from data_pipelines.loading.ranges import check_ranges
from data_pipelines.loading.row_order import RowReference, row_sequence
from data_pipelines.loading.row_reading import read_rows
from data_pipelines.processes import end_with_parent
from data_pipelines.typed_json import as_type

__all__ = ["TrainingBatches", "open_dataset", "ordered_batches", "training_batches"]


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
      seed: decides the order, the gaps and the partners of pairs.
      batch_size: global B.
      process_index, process_count: reads rows p*B/P to (p+1)*B/P of every global batch.
      rows: reads these instead, ascending numbers in 0..B-1.

    Returns:
      An iterator of dicts: frames uint8 (b, T, H, W, C), gap int32 (b,), episode int64 (b,), t
      int32 (b,) (time of the first frame), dataset int32 (b,) (position in `datasets` of the
      iterator) and the `fields` asked for: action (b, T-1, ...), reward float32 (b, T-1), state
      float32 (b, T, S); for a mixture of datasets that differ see batch_layout. With pair_with:
      frames_pair uint8 (b, T, H', W', C) and dataset_pair int32 (b,) (position in
      `pair_datasets`).

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
    sources = open_sources(options)
    specs = [source.spec for source in sources]
    image_shape = common_image_shape(specs, options)
    partners = pair_shape = None
    if options.pair_with:
        partners = Partners(sources, options.pair_with, options.split)
        pair_shape = common_image_shape([reader.spec for reader in partners.readers], options)
    layout = BatchLayout(
        specs,
        options.fields,
        options.clip_length,
        image_shape,
        unite=bool(options.mixture),
        pair_shape=pair_shape,
    )
    layout.check_memory(len(rows), ahead=options.prefetch + 1)
    batches = _ProcessBatches(
        row_sequence(sources, seed, options.pairs_per_clip, partners and partners.choices),
        sources,
        partners,
        layout,
        group=options.pairs_per_clip,
        batch_size=batch_size,
        rows=_checked(rows, batch_size),
    )
    names = tuple(source.key for source in sources)
    return TrainingBatches(batches, options, names, partners.names if partners else ())


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
        sources: list[Source],
        partners: Partners | None,
        layout: BatchLayout,
        *,
        group: int,
        batch_size: int,
        rows: tuple[int, ...],
    ):
        """Args: group, how many rows one element of the parent is; rows of a batch to read."""
        super().__init__(parent)
        self._sources, self._partners, self._layout = sources, partners, layout
        self._group, self._batch, self._rows = group, batch_size, rows

    def __len__(self) -> int:
        return len(self._parent) // self._batch

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.slice(index)
        rows = self._references(index * self._batch)
        return read_rows(rows, self._sources, self._partners, self._layout)

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
    threads or paths, so it can be restored on another number of hosts. `datasets` and
    `pair_datasets` are the names that a batch's `dataset` and `dataset_pair` count.
    """

    def __init__(
        self,
        batches: grain.MapDataset,
        options: LoaderOptions,
        datasets: tuple[str, ...],
        pair_datasets: tuple[str, ...],
    ):
        self.datasets, self.pair_datasets = datasets, pair_datasets
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
) -> Iterator[Batch]:
    """Every window of a split exactly once, in order of dataset, episode and time.

    The last batch may be smaller. With clip_length = 2 and gap = 1 that is every transition exactly
    once. `limit` stops after that many windows. Batches and errors are as for training_batches; a
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
        }
    )
    sources = open_sources(options)
    for source in sources:
        if source.gap[0] != source.gap[1]:
            raise DataError(f"gap is {gap!r}; windows in order have one gap, give one of them")
    specs = [source.spec for source in sources]
    image_shape = common_image_shape(specs, options)
    layout = BatchLayout(specs, options.fields, clip_length, image_shape)
    longest = sum(len(source.windows) for source in sources)
    layout.check_memory(min(batch_size, longest), ahead=1)
    rows = (
        RowReference(number, window, source.gap[0])
        for number, source in enumerate(sources)
        for window in range(len(source.windows))
    )
    return _batched(rows, sources, layout, batch_size, limit)


def _batched(
    rows: Iterator[RowReference],
    sources: list[Source],
    layout: BatchLayout,
    batch_size: int,
    limit: int | None,
) -> Iterator[Batch]:
    rows = itertools.islice(rows, limit)
    while pending := list(itertools.islice(rows, batch_size)):
        yield read_rows(pending, sources, None, layout)
