"""Pairs of synchronous datasets: another camera, or another exogenous process.

A cross-exogenous pair has equal actions and agent, and another distractor: a process that the agent
does not cause.
"""

from __future__ import annotations

from data_pipelines.errors import DataError
from data_pipelines.loading.mixture import OpenedDataset
from data_pipelines.loading.synchronous import SharedReaders, synchronous_names
from data_pipelines.loading.windows import ClipReader


class PairedDatasets:
    """The synchronous datasets that each dataset of a mixture can be paired with.

    readers: all of them, once; choices[i]: positions in `readers` of those for dataset i.

    Raises DataError for a dataset that has none, and for datasets whose episodes disagree.
    """

    def __init__(self, datasets: list[OpenedDataset], pair_with: str, shared: SharedReaders):
        self.readers: list[ClipReader] = []
        self.choices: list[list[int]] = []
        known: dict[tuple[str, str], int] = {}
        for dataset in datasets:
            positions = []
            for name in paired_names(dataset, pair_with):
                reader = shared.of(dataset, name)
                place = str(dataset.info.path), name
                if place not in known:
                    known[place] = len(self.readers)
                    self.readers.append(reader)
                positions.append(known[place])
            self.choices.append(positions)

    @property
    def names(self) -> tuple[str, ...]:
        """What `dataset_pair` counts."""
        return tuple(reader.spec.name for reader in self.readers)


def paired_names(dataset: OpenedDataset, pair_with: str) -> list[str]:
    """Synchronous datasets that differ in `pair_with` alone; raises DataError if there is none."""
    names = [
        name
        for name in synchronous_names(dataset, pair_with)
        if dataset.info.datasets[name].is_map == dataset.spec.is_map
    ]
    if not names:
        what = "camera" if pair_with == "camera" else "exogenous process"
        raise DataError(
            f"dataset {dataset.spec.name} has no synchronous dataset with another {what} in "
            f"{dataset.info.path}; leave it out of the mixture, or drop data.pair_with"
        )
    return names
