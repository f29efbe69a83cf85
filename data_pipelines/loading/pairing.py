"""Pairs of synchronous datasets: another camera, or another exogenous process.

A cross-exogenous pair has equal actions and agent, and another distractor: a process that the agent
does not cause.
"""

from __future__ import annotations

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
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


def check_shared_agent(datasets: list[OpenedDataset], pairs: PairedDatasets) -> None:
    """Compares what partners say of the agent in the first and the last record: its actions, and the
    columns of its state that are not exogenous, where both hold them.

    That they are of one recording is what their specs claim; this is what their records say.

    Raises DataError where they differ: then the partners show other deeds of the agent.
    """
    for dataset, choices in zip(datasets, pairs.choices, strict=True):
        for other in (pairs.readers[position] for position in choices):
            for record in sorted({0, len(dataset.reader) - 1}):
                _check_record(dataset.reader, other, record)


def _check_record(one: ClipReader, other: ClipReader, record: int) -> None:
    clips = one.clip(record), other.clip(record)
    columns = tuple(map(_endogenous_columns, (one.spec, other.spec)))
    for label in ("action", "state"):
        if not all(label in reader.spec.labels for reader in (one, other)):
            continue
        first, second = (clip.decode_label(label) for clip in clips)
        if label == "state":
            first, second = first[:, columns[0]], second[:, columns[1]]
        if first.shape != second.shape or not np.array_equal(first, second):
            raise DataError(
                f"{one.where(record)}: {label} is not that of its partner {other.spec.name}, so that "
                "the two do not share what the agent does; prepare them again, or drop "
                "data.pair_with"
            )


def _endogenous_columns(spec: DatasetSpec) -> list[int]:
    return [i for i, name in enumerate(spec.state_names) if name not in spec.exogenous_state]
