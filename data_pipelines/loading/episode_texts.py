"""Language and task of every episode, as numbers that a device can hold.

They come from the lists of episodes that lie beside the shards, so no record is read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import AGAIN
from data_pipelines.loading.batch_layout import TEXTS
from data_pipelines.loading.mixture import OpenedDataset


class EpisodeTexts:
    """Texts of all datasets read, and which of them each episode has.

    texts: {field: sorted texts, "" first, for an episode that has none}; they depend on what is in
    the split and on nothing else. Memory: 16 bytes per episode and dataset, and the texts.

    Raises DataError for lists of episodes that are missing, damaged, or lack an episode of the
    index, for texts that are none, and where no episode has any.
    """

    def __init__(self, datasets: list[OpenedDataset]):
        listed = [_listed(dataset) for dataset in datasets]
        self.texts = {
            field: ("", *sorted({t for texts in listed for t in texts.values[field]} - {""}))
            for field in TEXTS
        }
        if all(len(texts) == 1 for texts in self.texts.values()):
            raise DataError(
                f"no episode of {', '.join(dataset.key for dataset in datasets)} has a "
                f"{' or a '.join(TEXTS)}; drop data.language"
            )
        numbers = {
            field: {text: number for number, text in enumerate(texts)}
            for field, texts in self.texts.items()
        }
        self._tables = [
            (
                texts.episodes,
                np.array([[numbers[f][t] for t in texts.values[f]] for f in TEXTS], np.int32),
            )
            for texts in listed
        ]

    def numbers(self, dataset: int, episode: int) -> np.ndarray:
        """int32 (2,): positions in `texts` of the TEXTS of an episode."""
        episodes, numbers = self._tables[dataset]
        return numbers[:, episodes.searchsorted(episode)]


class _Listed(NamedTuple):
    """episodes: int64, ascending; values: {field: its text for each of them}."""

    episodes: np.ndarray
    values: dict[str, list[str]]


def _listed(dataset: OpenedDataset) -> _Listed:
    reader = dataset.reader
    facts = dataset.info.episodes(reader.spec.name, reader.split)
    facts.sort(key=lambda episode: episode["episode"])
    episodes = np.array([episode["episode"] for episode in facts], np.int64)
    lacking = np.setdiff1d(reader.index[:, 0], episodes)
    if len(lacking):
        raise DataError(
            f"dataset {reader.spec.name}, split {reader.split!r}: its list of episodes lacks "
            f"{len(lacking)} of its index, episode {lacking[0]} first; {AGAIN}"
        )
    where = f"dataset {reader.spec.name}, split {reader.split!r}"
    return _Listed(episodes, {f: [_text(episode, f, where) for episode in facts] for f in TEXTS})


def _text(episode: dict[str, Any], field: str, where: str) -> str:
    value = episode.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(
            f"{where}: {field} of episode {episode['episode']} is {value!r}, no text; {AGAIN}"
        )
    return value
