"""Datasets that show the same instants: from another camera, or with another exogenous process.

Datasets of one folder with the same `recording` in their spec show the same episodes at the same
times, so record and offset of an instant are the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.loading.mixture import OpenedDataset
from data_pipelines.loading.windows import ClipReader

_DIFFERENCES = ("camera", "exogenous")


def synchronous_names(dataset: OpenedDataset, differ_in: str) -> list[str]:
    """Datasets of the folder that show the same instants and differ in `differ_in` alone.

    differ_in: 'camera' or 'exogenous'.
    """
    mine = dataset.spec
    (same,) = (field for field in _DIFFERENCES if field != differ_in)
    return [
        name
        for name, spec in dataset.info.datasets.items()
        if mine.recording
        and spec.recording == mine.recording
        and getattr(spec, differ_in) != getattr(mine, differ_in)
        and getattr(spec, same) == getattr(mine, same)
    ]


class SharedReaders:
    """One reader per dataset, those of the opened datasets first: a record is then read once."""

    def __init__(self, datasets: Iterable[OpenedDataset]):
        self._readers: dict[tuple[str, str], ClipReader] = {}
        for dataset in datasets:
            self._readers.setdefault((str(dataset.info.path), dataset.spec.name), dataset.reader)

    def of(self, dataset: OpenedDataset, name: str) -> ClipReader:
        """The reader of the dataset `name`, synchronous with `dataset`, of its split.

        Raises DataError where the episodes of the two disagree.
        """
        reader = dataset.reader
        if name == dataset.spec.name:
            return reader
        place = str(dataset.info.path), name
        if place not in self._readers:
            self._readers[place] = ClipReader(dataset.info, name, reader.split)
        _check_synchronous(reader, self._readers[place])
        return self._readers[place]


def _check_synchronous(one: ClipReader, other: ClipReader) -> None:
    if not np.array_equal(one.index, other.index):
        lacking = np.setxor1d(one.index[:, 0], other.index[:, 0])
        if len(lacking):
            raise DataError(
                f"datasets {one.spec.name} and {other.spec.name} cannot be paired: in split "
                f"{one.split!r} one of them lacks {len(lacking)} episodes of the other (a camera "
                "that showed nothing there; the manifest lists them); name datasets that hold the "
                "same episodes, or prepare the folder with those cameras alone"
            )
        raise DataError(
            f"datasets {one.spec.name} and {other.spec.name} claim the same recording "
            f"{one.spec.recording!r} but hold other lengths in split {one.split!r}; prepare the "
            "folder again"
        )
