"""Whether episodes are long enough to be sequences of latent actions; indices are read only."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecars import split_episodes
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options


def check_sequences(data: Mapping[str, Any], splits: Sequence[str], gap: int) -> None:
    """Raises DataError where no episode of a split has two transitions of `gap` frames.

    Shorter episodes are read, masked, and nothing is learned from them.
    """
    for split in splits:
        longest = 0
        for entry in loader_options(data).entries.values():
            info = open_dataset(entry.path)
            for name in select_datasets(info, entry.datasets, entry.cameras):
                longest = max(longest, int(split_episodes(info, name, split).lengths.max()))
        if longest < gap + 2:
            raise DataError(
                f"the longest episode of split {split!r} has {longest} frames, which are "
                f"{max(0, longest - gap)} latent actions of gap {gap}; skills are learned from two or "
                f"more: name data with episodes of {gap + 2} frames, or latent actions of a shorter gap"
            )
