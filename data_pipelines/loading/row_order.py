"""The endless global sequence of rows: what row i of training is, for any i, in constant time.

Grain's transformations of small references: seed, shuffle, repeat, draw the gap and the paired
dataset, mix. Nothing here moves a frame or knows of processes, so every process has the same
sequence.
"""

from __future__ import annotations

import functools
import sys
import zlib
from typing import NamedTuple

import grain
import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.loading.mixture import OpenedDataset

# Mixture weights are rounded to this many parts: Grain's mixing pattern repeats after their sum.
_WEIGHT_PARTS = 1000
# Grain's shuffle takes 150 us per element of so few, where a table of them takes half a megabyte.
_SMALL = 2**16


class RowReference(NamedTuple):
    """One row: a window of a dataset, the gap, and which dataset it is paired with (-1: none)."""

    dataset: int
    window: int
    gap: int
    paired: int = -1


def row_sequence(
    datasets: list[OpenedDataset],
    seed: int,
    pairs_per_clip: int,
    choices: list[list[int]] | None = None,
) -> grain.MapDataset:
    """Element i is a RowReference; with pairs_per_clip m > 1, element k holds rows k*m .. k*m+m-1.

    Args:
      choices: for each dataset those that it can be paired with; None for no pairs.
    """
    mixed, weights = [], []
    for i, dataset in enumerate(datasets):
        if not len(dataset.windows):  # A subset left nothing of it.
            continue
        rows = _window_order(dataset, seed, pairs_per_clip)
        low, high = dataset.gap
        if low == high and not choices:
            rows = rows.map(functools.partial(_reference, dataset=i, gap=low))
        else:
            rows = rows.random_map(
                functools.partial(
                    _random_reference,
                    dataset=i,
                    low=low,
                    high=high,
                    choices=choices[i] if choices else None,
                )
            )
        mixed.append(_Blocks(rows, pairs_per_clip) if pairs_per_clip > 1 else rows)
        weights.append(dataset.weight)
    return mixed[0] if len(mixed) == 1 else grain.MapDataset.mix(mixed, _parts(weights))


def named_seed(seed: int, name: str) -> int:
    """Depends on the name: adding a dataset or stream leaves the order of the others as it was."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])


def _window_order(dataset: OpenedDataset, seed: int, m: int) -> grain.MapDataset:
    count = len(dataset.windows)
    if count < m:
        raise DataError(
            f"dataset {dataset.spec.name} has {count} windows, fewer than data.pairs_per_clip = "
            f"{m}; lower it"
        )
    groups = grain.MapDataset.range(count // m).seed(named_seed(seed, dataset.key))
    few = count // m <= _SMALL and (m > 1 or dataset.windows.restricted)
    if few:
        groups = _EpochShuffle(groups, named_seed(seed, dataset.key))
    else:
        groups = groups.shuffle().repeat(None)
    return groups if m == 1 else _GroupedWindows(groups, count, m)


def _reference(window: int, dataset: int, gap: int) -> RowReference:
    return RowReference(dataset, int(window), gap)


def _random_reference(
    window: int,
    rng: np.random.Generator,
    dataset: int,
    low: int,
    high: int,
    choices: list[int] | None,
) -> RowReference:
    gap = int(rng.integers(low, high + 1)) if low < high else low
    paired = choices[int(rng.integers(len(choices)))] if choices else -1
    return RowReference(dataset, int(window), gap, paired)


def _parts(weights: list[float]) -> list[int]:
    """Positive integers in proportion to the weights."""
    total = sum(weights)
    return [max(1, round(_WEIGHT_PARTS * weight / total)) for weight in weights]


class _EpochShuffle(grain.MapDataset):
    """Endless epochs of few elements, each in an order of its own, a function of (seed, epoch)."""

    def __init__(self, parent: grain.MapDataset, seed: int):
        super().__init__(parent)
        self._seed = seed
        self._newest = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index):
        epoch, place = divmod(index, len(self._parent))
        number, order = self._newest  # One tuple: threads see both or neither.
        if number != epoch:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(self._parent))
            self._newest = epoch, order
        return int(order[place])


class _GroupedWindows(grain.MapDataset):
    """Windows in shuffled groups of m neighbours; an epoch of `count` windows holds each once.

    The count % m windows that fill no group end every epoch.
    """

    def __init__(self, groups: grain.MapDataset, count: int, m: int):
        super().__init__(groups)
        self._count, self._m = count, m

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index):
        epoch, row = divmod(index, self._count)
        group, place = divmod(row, self._m)
        groups = self._count // self._m
        if group < groups:  # The parent's epochs have only whole groups.
            group = self._parent[epoch * groups + group]
        return int(group) * self._m + place


class _Blocks(grain.MapDataset):
    """Element k is the list of rows k*m .. k*m+m-1, so that mixing keeps neighbours together."""

    def __init__(self, rows: grain.MapDataset, m: int):
        super().__init__(rows)
        self._m = m

    def __len__(self) -> int:
        return len(self._parent) // self._m

    def __getitem__(self, index):
        return [self._parent[index * self._m + j] for j in range(self._m)]
