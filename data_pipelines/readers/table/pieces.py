"""Rows in order, cut: where they break, into blocks of time, into pieces that are not too long."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_pipelines.conversion.splits import HELD_OUT, SPLITS


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Rows start to stop of the order of a layout, all of one series."""

    series: int
    start: int
    stop: int
    split: str | None = None


def unbroken(codes: np.ndarray, breaks: np.ndarray) -> list[Stretch]:
    """What lies between breaks. codes (M,): series of the rows; breaks bool (M - 1,): whether one
    ends after a row."""
    if not len(codes):
        return []
    bounds = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(codes)]
    return [
        Stretch(int(codes[start]), start, stop)
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def in_blocks(
    stretches: Sequence[Stretch], codes: np.ndarray, filled: np.ndarray, margin: int
) -> tuple[list[Stretch], np.ndarray]:
    """Every series in three blocks of time; (parts of the stretches, places between the blocks).

    codes (M,): the series of every row; filled bool (M,): rows without a value of their own; margin:
    rows left out before the second and the third block.

    Filled rows at the beginning of a block would have the values of another: they are left out too.
    """
    last = np.append(codes[1:] != codes[:-1], True)[: len(codes)]  # of its series
    ends = (np.flatnonzero(last) + 1).tolist()
    blocks: dict[int, list[tuple[int, int, str]]] = {}
    start = 0
    between = np.zeros(len(codes), bool)
    for stop in ends:
        held = max(1, round(HELD_OUT * (stop - start)))
        cuts = (stop - 2 * held, stop - held)
        for place in cuts:
            between[max(start, place - margin) : place] = True
        limits = (start, cuts[0] - margin), (cuts[0], cuts[1] - margin), (cuts[1], stop)
        blocks[int(codes[start])] = [
            (*limit, split) for limit, split in zip(limits, SPLITS, strict=True)
        ]
        start = stop
    parts = []
    for stretch in stretches:
        for low, high, split in blocks[stretch.series]:
            low, high = max(low, stretch.start), min(high, stretch.stop)
            while low < high and filled[low]:
                between[low] = True
                low += 1
            if low < high:
                parts.append(Stretch(stretch.series, low, high, split))
    return parts, np.flatnonzero(between)


def cut(stretch: Stretch, filled: np.ndarray, longest: int) -> list[Stretch]:
    """Pieces of about equal length, none of which begins with a row that is filled."""
    count = -(-(stretch.stop - stretch.start) // longest)
    cuts = np.linspace(stretch.start, stretch.stop, count + 1).round().astype(int).tolist()
    bounds = [stretch.start]
    for place in cuts[1:-1]:
        while place < stretch.stop and filled[place]:
            place += 1
        bounds.append(place)
    bounds.append(stretch.stop)
    return [
        dataclasses.replace(stretch, start=low, stop=high)
        for low, high in zip(bounds[:-1], bounds[1:], strict=True)
        if low < high
    ]
