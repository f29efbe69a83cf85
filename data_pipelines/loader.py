"""Batches of windows from a dataset folder.

Training order: for each dataset, seed -> shuffle -> repeat -> draw the gap; then mix by weight, cut
the block of this process, read, batch. All randomness comes before the cut and is a function of
(seed, element index), so the global batch at step n depends on the seed and n only. Rows of a
global batch lie in process order: process p of P holds rows p*B/P to (p+1)*B/P, which is what a
NamedSharding over the data axis expects of each process.
"""

from __future__ import annotations

import functools
import itertools
import pathlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import grain
import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.manifest import DatasetInfo, open_dataset
from data_pipelines.options import LoaderOptions, loader_options
from data_pipelines.windows import (
    ClipReader,
    Windows,
    empty_batch,
    open_readers,
    window_fields,
)

Batch = dict[str, np.ndarray]
# Mixture weights are rounded to this many parts: Grain's mixing pattern repeats after their sum.
_WEIGHT_PARTS = 1000


def training_batches(
    config: Mapping[str, Any],
    *,
    seed: int,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
) -> TrainingBatches:
    """Endless shuffled batches; `config` is described by options.LoaderOptions.

    Args:
      seed: decides the order and the gaps.
      batch_size: global B; every process gets B / process_count rows.

    Returns:
      An iterator of dicts: frames uint8 (b, T, H, W, C), gap int32 (b,), episode int64 (b,), t
      int32 (b,) (time of the first frame), dataset int32 (b,) (position in the mixture) and the
      `fields` asked for: action (b, T-1, ...), reward float32 (b, T-1), state float32 (b, T, S).

    Raises:
      DataError: unknown option, dataset, split or field; empty split; damaged shard; other image
        size; no episode long enough; a batch that the processes cannot share evenly.
    """
    options = loader_options(config)
    if batch_size < 1 or batch_size % process_count:
        raise DataError(
            f"batch size {batch_size} cannot be shared evenly by {process_count} processes; "
            f"use a positive multiple of {process_count}"
        )
    if not 0 <= process_index < process_count:
        raise DataError(f"process index {process_index} is not in 0..{process_count - 1}")
    windows = _open_windows(options)
    rows = _row_references(windows, options, seed)
    batches = _ProcessBatches(
        rows, list(windows.values()), options, batch_size, process_index, process_count
    )
    return TrainingBatches(batches, options)


def _open_windows(options: LoaderOptions) -> dict[str, Windows]:
    """The windows of every dataset of the mixture, after all checks that need no record."""
    info = open_dataset(options.path)
    names = tuple(options.datasets) or tuple(info.datasets)
    check_image_size(info, names, options.image_size)
    readers = open_readers(info, names, options.split, options.fields)
    span = options.gap_range[1] * (options.clip_length - 1)
    return {
        name: Windows(reader, options.clip_length, span)
        for name, reader in zip(names, readers, strict=True)
    }


def _row_references(
    windows: Mapping[str, Windows], options: LoaderOptions, seed: int
) -> grain.MapDataset:
    """The endless global sequence of rows, each (dataset, window, gap), the same for every process.

    References are small, so shuffling and mixing move no frames.
    """
    low, high = options.gap_range
    parts = []
    for i, (name, part) in enumerate(windows.items()):
        rows = (
            grain.MapDataset.range(len(part)).seed(_dataset_seed(seed, name)).shuffle().repeat(None)
        )
        if low == high:
            rows = rows.map(functools.partial(_reference, dataset=i, gap=low))
        else:
            rows = rows.random_map(
                functools.partial(_random_reference, dataset=i, low=low, high=high)
            )
        parts.append(rows)
    if len(parts) == 1:
        return parts[0]
    if isinstance(options.datasets, Mapping):
        weights = list(options.datasets.values())
    else:
        weights = [len(part) for part in windows.values()]
    return grain.MapDataset.mix(parts, _parts(weights))


def _dataset_seed(seed: int, name: str) -> int:
    """Depends on the name: adding a dataset leaves the order of the others as it was."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])


def _reference(window: int, dataset: int, gap: int) -> tuple[int, int, int]:
    return dataset, window, gap


def _random_reference(window: int, rng: np.random.Generator, dataset: int, low: int, high: int):
    return dataset, window, int(rng.integers(low, high + 1))


def _parts(weights: list[float]) -> list[int]:
    """Positive integers in proportion to the weights."""
    total = sum(weights)
    return [max(1, round(_WEIGHT_PARTS * weight / total)) for weight in weights]


def check_image_size(info: DatasetInfo, names: tuple[str, ...], image_size: int) -> None:
    """Raises DataError unless all named datasets have frames of this side (0: any)."""
    for name in names:
        shape = info.spec(name).image_shape
        if image_size and shape[:2] != (image_size, image_size):
            raise DataError(
                f"dataset {name} has {shape[0]}x{shape[1]} frames, the config asks for "
                f"{image_size}x{image_size}; set model.image_size to the data's, or prepare it "
                f"with --size={image_size}"
            )


class _ProcessBatches(grain.MapDataset):
    """Element n is this process's block of rows of global batch n, read and decoded."""

    def __init__(
        self,
        parent: grain.MapDataset,
        windows: list[Windows],
        options: LoaderOptions,
        batch_size: int,
        index: int,
        count: int,
    ):
        super().__init__(parent)
        self._windows, self._options, self._batch = windows, options, batch_size
        self._rows = batch_size // count
        self._first = index * self._rows

    def __len__(self) -> int:
        return len(self._parent) // self._batch

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.slice(index)
        options, first = self._options, index * self._batch + self._first
        batch = empty_batch(
            self._windows[0].reader.spec, self._rows, options.clip_length, options.fields
        )
        for row in range(self._rows):
            dataset, window, gap = self._parent[first + row]
            batch["dataset"][row] = dataset
            self._windows[dataset].read_into(batch, row, window, gap, options.fields)
        return batch


class TrainingBatches(Iterator[Batch]):
    """Iterator over this process's part of every global batch, starting at any step at no cost.

    The state is {"next_index": n}: the next batch is that of step n. It knows nothing of processes,
    threads or paths, so it can be restored on another number of hosts.
    """

    def __init__(self, batches: grain.MapDataset, options: LoaderOptions):
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
                    grain.MultiprocessingOptions(options.workers, per_worker_buffer_size=per_worker)
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
        self._next = int(state["next_index"])

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
    gap: int = 1,
    limit: int | None = None,
) -> Iterator[Batch]:
    """Every window of a split exactly once, in order of dataset, episode and time.

    The last batch may be smaller. With clip_length = 2 and gap = 1 that is every transition exactly
    once. `limit` stops after that many windows. Batches and errors are as for training_batches.
    """
    options = loader_options(
        {
            "path": str(path),
            "datasets": datasets,
            "split": split,
            "fields": fields,
            "clip_length": clip_length,
            "gap": gap,
        }
    )
    info = open_dataset(options.path)
    names = tuple(options.datasets) or tuple(info.datasets)
    readers = open_readers(info, names, split, options.fields)
    owned = [reader.owned_starts(gap * (clip_length - 1)) for reader in readers]
    rows = _ordered_rows(readers, owned, options.fields, clip_length, gap)
    return _batched(rows, batch_size, limit)


def _batched(rows: Iterator[dict], batch_size: int, limit: int | None) -> Iterator[Batch]:
    rows = itertools.islice(rows, limit)
    while pending := list(itertools.islice(rows, batch_size)):
        yield {key: np.stack([row[key] for row in pending]) for key in pending[0]}


def _ordered_rows(
    readers: list[ClipReader],
    owned_starts: list[np.ndarray],
    fields: tuple[str, ...],
    clip_length: int,
    gap: int,
) -> Iterator[dict[str, Any]]:
    """Reads and decodes every record once, whatever the number of windows it owns."""
    steps = gap * np.arange(clip_length)
    for dataset, reader in enumerate(readers):
        for record, owned in enumerate(owned_starts[dataset]):
            if not owned:
                continue
            clip = reader.clip(record)
            frames = clip.decode_frames(np.arange(owned + steps[-1]))
            episode, start = reader.index[record, :2]
            for offset in range(owned):
                offsets = offset + steps
                yield {
                    "frames": frames[offsets],
                    "gap": np.int32(gap),
                    "episode": np.int64(episode),
                    "t": np.int32(start + offset),
                    "dataset": np.int32(dataset),
                } | window_fields(clip, offsets, gap, fields)
