"""Synchronous datasets: the same instants from another camera, or with another exogenous process.

Datasets of one folder with the same `recording` in their spec show the same episodes at the same
times. Two of them that differ in `camera` alone make cross-view pairs; two that differ in
`exogenous` alone make cross-exogenous pairs: equal actions and agent, another distractor.
"""

from __future__ import annotations

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.loading.mixture import Source
from data_pipelines.loading.windows import ClipReader


class Partners:
    """The synchronous datasets that each source of a mixture can be paired with.

    readers: all of them, once; choices[i]: positions in `readers` of the partners of source i.
    Every partner has the index of its source, so record and offset are the same in both.

    Raises DataError for a source that has no partner, and for datasets whose episodes disagree.
    """

    def __init__(self, sources: list[Source], pair_with: str, split: str):
        self.readers: list[ClipReader] = []
        self.choices: list[list[int]] = []
        known: dict[tuple[str, str], int] = {}
        for source in sources:
            positions = []
            for name in partner_names(source, pair_with):
                place = str(source.info.path), name
                if place not in known:
                    known[place] = len(self.readers)
                    self.readers.append(ClipReader(source.info, name, split))
                positions.append(known[place])
                _check_synchronous(source.reader, self.readers[positions[-1]])
            self.choices.append(positions)

    @property
    def names(self) -> tuple[str, ...]:
        """What `dataset_pair` counts."""
        return tuple(reader.spec.name for reader in self.readers)


def partner_names(source: Source, pair_with: str) -> list[str]:
    """Datasets of the folder that show the same instants and differ in `pair_with` alone."""
    mine, same = source.spec, "exogenous" if pair_with == "camera" else "camera"
    partners = [
        name
        for name, spec in source.info.datasets.items()
        if mine.recording
        and spec.recording == mine.recording
        and getattr(spec, pair_with) != getattr(mine, pair_with)
        and getattr(spec, same) == getattr(mine, same)
    ]
    if not partners:
        what = "camera" if pair_with == "camera" else "exogenous process"
        raise DataError(
            f"dataset {mine.name} has no synchronous dataset with another {what} in "
            f"{source.info.path}; leave it out of the mixture, or drop data.pair_with"
        )
    return partners


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
