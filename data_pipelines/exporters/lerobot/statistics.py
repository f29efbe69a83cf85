"""Statistics of the features of an episode, and of many episodes together, as LeRobot keeps them.

{min, max, mean, std, count}: lists of the shape of a row, and [rows]. Of pictures, channels first
and in [0, 1], from at most PICTURES frames of an episode, evenly spaced. Of latent columns over the
rows that have a transition: padding would shift what people normalise by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

PICTURES = 32

Statistics = dict[str, Any]


def row_statistics(rows: np.ndarray) -> Statistics | None:
    """Of the rows (N, ...) of a feature; None without rows."""
    if not len(rows):
        return None
    values = np.asarray(rows, np.float64).reshape(len(rows), *(rows.shape[1:] or (1,)))
    return {
        "min": values.min(0).tolist(),
        "max": values.max(0).tolist(),
        "mean": values.mean(0).tolist(),
        "std": values.std(0).tolist(),
        "count": [len(rows)],
    }


def picture_statistics(
    pictures: Sequence[bytes], decode: Callable[[bytes], np.ndarray]
) -> Statistics | None:
    """Of encoded pictures, (C, 1, 1) each. decode: to uint8 (H, W, C)."""
    if not len(pictures):
        return None
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), PICTURES)).astype(int))
    counts: Any = 0
    for number in chosen:
        channels = np.moveaxis(decode(pictures[number]), -1, 0)
        counts = counts + np.stack([np.bincount(x.ravel(), minlength=256) for x in channels])
    level, weight = np.arange(256) / 255, counts / counts.sum(1, keepdims=True)
    mean = weight @ level
    found = {
        "min": np.array([level[row > 0].min() for row in counts]),
        "max": np.array([level[row > 0].max() for row in counts]),
        "mean": mean,
        "std": np.sqrt(np.maximum(weight @ level**2 - mean**2, 0)),
    }
    told: Statistics = {key: value[:, None, None].tolist() for key, value in found.items()}
    return told | {"count": [len(chosen)]}


class Total:
    """Statistics of all episodes, from those of each."""

    def __init__(self) -> None:
        self._count = 0
        self._min = self._max = self._mean = self._squares = np.zeros(())

    def add(self, part: Statistics) -> None:
        """One more episode."""
        low, high, mean, std = (np.array(part[key]) for key in ("min", "max", "mean", "std"))
        count = part["count"][0]
        if not self._count:
            self._min, self._max = low, high
            self._mean, self._squares = np.zeros_like(mean), np.zeros_like(mean)
        total = self._count + count
        shift = mean - self._mean
        self._squares = self._squares + count * std**2 + shift**2 * self._count * count / total
        self._mean = self._mean + shift * count / total
        self._min, self._max = np.minimum(self._min, low), np.maximum(self._max, high)
        self._count = total

    @property
    def count(self) -> int:
        return self._count

    def told(self) -> Statistics:
        """As `row_statistics`."""
        return {
            "min": self._min.tolist(),
            "max": self._max.tolist(),
            "mean": self._mean.tolist(),
            "std": np.sqrt(self._squares / self._count).tolist(),
            "count": [self._count],
        }
