"""Which datasets are read, with what gap and weight: the options met with the folders on disk."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Mapping

import grain
import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import DatasetInfo, open_dataset
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.loading.gaps import gap_frames
from data_pipelines.loading.options import Entry, LoaderOptions
from data_pipelines.loading.sidecar_columns import Column, open_columns
from data_pipelines.loading.windows import ClipReader, Windows


@dataclasses.dataclass
class OpenedDataset:
    """One dataset of a mixture, opened.

    key: its name, after "<entry>/" in a mixture; decides its part of the randomness, so that adding
    a dataset leaves the order of the others as it was.  gap: (lo, hi) in frames.  weight: relative
    to the other datasets.  sidecars: the columns that they add to a batch.
    """

    key: str
    info: DatasetInfo
    reader: ClipReader
    windows: Windows
    gap: tuple[int, int]
    weight: float = 0.0
    sidecars: dict[str, Column] = dataclasses.field(default_factory=dict)

    @property
    def spec(self) -> DatasetSpec:
        return self.reader.spec


def open_mixture(options: LoaderOptions) -> list[OpenedDataset]:
    """Every dataset of the mixture, after all checks that need no record."""
    opened = []
    for name, entry in options.entries.items():
        info = open_dataset(entry.path)
        of_entry = [
            _opened(f"{name}/{dataset}" if name else dataset, info, dataset, entry, options)
            for dataset in _held(info, entry, options.split)
        ]
        _keep_subset(of_entry, entry)
        _set_weights(of_entry, entry)
        opened += of_entry
    return opened


def _held(info: DatasetInfo, entry: Entry, split: str) -> tuple[str, ...]:
    """The datasets asked for; where none is named, without those that lack the split.

    A camera that shows something in few episodes may have none for validation.
    """
    names = select_datasets(info, entry.datasets, entry.cameras)
    if entry.datasets:
        return names
    held = tuple(n for n in names if split in info.counts[n] and info.counts[n][split]["records"])
    return held or names


def select_datasets(
    info: DatasetInfo, datasets: Iterable[str], cameras: tuple[str, ...]
) -> tuple[str, ...]:
    """Names of the datasets asked for; raises DataError listing what exists.

    Where neither datasets nor cameras are named, masks and depth are left out: they stand beside
    frames (data.views) and are none.
    """
    names = tuple(datasets) or tuple(info.datasets)
    specs = [info.spec(name) for name in names]
    if not datasets and not cameras:
        return tuple(spec.name for spec in specs if not spec.is_map) or names
    if not cameras:
        return names
    held = {spec.camera for spec in specs}
    missing = [camera for camera in cameras if camera not in held]
    if missing:
        raise DataError(
            f"{info.path}: no dataset of camera {', '.join(missing)}; cameras: "
            f"{', '.join(sorted(filter(None, held))) or 'none is named'}"
        )
    return tuple(spec.name for spec in specs if spec.camera in cameras)


def _opened(
    key: str, info: DatasetInfo, dataset: str, entry: Entry, options: LoaderOptions
) -> OpenedDataset:
    reader = ClipReader(info, dataset, options.split)
    gap = gap_frames(entry.gap, reader.spec)
    # Which windows a subset holds must not depend on how many are drawn together.
    whole = not entry.transitions and entry.fraction == entry.episodes == 1.0
    group = options.pairs_per_clip if whole else 1
    windows = Windows(reader, gap[1] * (options.clip_length - 1), group)
    if entry.episodes < 1.0:
        _keep_episodes(windows, entry)
    sidecars = open_columns(entry.sidecars, info, dataset, options.split, gap)
    return OpenedDataset(key, info, reader, windows, gap, sidecars=sidecars)


def _keep_episodes(windows: Windows, entry: Entry) -> None:
    """Keeps the first n of one permutation of the split's episodes, so smaller shares are nested.

    Every dataset has its own permutation, the cameras of one recording the same.
    """
    reader = windows.reader
    episodes = np.unique(reader.index[:, 0])
    recording = zlib.crc32((reader.spec.recording or reader.spec.name).encode())
    order = np.random.default_rng([entry.subset_seed, recording]).permutation(episodes)
    kept = windows.of_episodes(order[: max(1, round(entry.episodes * len(order)))])
    if not len(kept):
        raise DataError(
            f"dataset {reader.spec.name}: none of the episodes that data.episodes={entry.episodes} "
            "keeps is long enough for a window; raise it, or lower gap or clip_length"
        )
    windows.keep(kept)


def _keep_subset(datasets: list[OpenedDataset], entry: Entry) -> None:
    """Keeps the first n of one permutation of the entry's windows, so smaller subsets are nested.

    Memory: 8 bytes per window kept.
    """
    lengths = [len(dataset.windows) for dataset in datasets]
    total = sum(lengths)
    count = entry.transitions or max(1, round(entry.fraction * total))
    if count > total:
        raise DataError(
            f"{entry.path}: data.transitions asks for {count} windows, there are {total}; lower it"
        )
    if count == total:
        return
    chosen = np.sort(_chosen(entry, total, count))
    stops = np.cumsum(lengths)
    for dataset, length, stop in zip(datasets, lengths, stops, strict=True):
        low, high = chosen.searchsorted([stop - length, stop])
        dataset.windows.keep(chosen[low:high] - (stop - length))


def _chosen(entry: Entry, total: int, count: int) -> np.ndarray:
    """(count,) int64 numbers of windows, in the order of the permutation."""
    if entry.label_draw is not None:  # The labels that flexlam_jax.evaluation.probes draws.
        draw = np.random.default_rng([entry.subset_seed, entry.label_draw])
        return draw.permutation(total)[:count]
    order = grain.MapDataset.range(total).seed(entry.subset_seed).shuffle()
    return np.fromiter((order[i] for i in range(count)), np.int64, count)


def _set_weights(datasets: list[OpenedDataset], entry: Entry) -> None:
    """Weights inside the entry: those given, else proportional to the windows."""
    weights = [float(len(dataset.windows)) for dataset in datasets]
    if isinstance(entry.datasets, Mapping):
        named = [entry.datasets[dataset.spec.name] for dataset in datasets]
        # A dataset that a subset left without windows cannot be drawn from.
        weights = [w if len(s.windows) else 0.0 for w, s in zip(named, datasets, strict=True)]
    scale = 1.0
    if entry.weight is not None:
        scale = entry.weight / sum(weights)
    for dataset, weight in zip(datasets, weights, strict=True):
        dataset.weight = weight * scale


def common_image_shape(specs: list[DatasetSpec], options: LoaderOptions) -> tuple[int, int, int]:
    """(H, W, C) of the frames of a batch; raises DataError if the datasets cannot share one."""
    size, first = options.image_size, specs[0]
    for spec in specs:
        shape = spec.image_shape
        if size and shape[:2] != (size, size) and not options.resize:
            raise DataError(
                f"dataset {spec.name} has {shape[0]}x{shape[1]} frames, the config asks for "
                f"{size}x{size}; set model.image_size to the data's, prepare it with "
                f"--size={size}, or set data.resize"
            )
        alike = shape[2] == first.image_shape[2] if options.resize else shape == first.image_shape
        if not alike:
            raise DataError(
                f"datasets {first.name} {first.image_shape} and {spec.name} {shape} differ in "
                "image shape and cannot share a batch; prepare both at one size, or set "
                "data.resize and data.image_size"
            )
    if (
        options.resize
        and first.image_shape[2] not in (1, 3)
        and any(spec.image_shape[:2] != (size, size) for spec in specs)
    ):
        raise DataError(
            f"dataset {first.name} has {first.image_shape[2]} channels; data.resize works on frames "
            "of 1 or 3"
        )
    return (size, size, first.image_shape[2]) if options.resize else first.image_shape
