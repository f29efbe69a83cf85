"""Which sentences a policy is told by datasets: the language of an episode, or its task without one."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import AGAIN, DatasetInfo, open_dataset
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options


def data_sentences(data: Mapping[str, Any], splits: Sequence[str]) -> list[str]:
    """Of all episodes that a config's `data` section reads in these splits; see `split_sentences`.

    Raises:
      DataError: as `training_batches`.
    """
    found: set[str] = set()
    for entry in loader_options(data).entries.values():
        info = open_dataset(entry.path)
        for name in select_datasets(info, entry.datasets, entry.cameras):
            for split in splits:
                if split in info.counts[name]:
                    found |= split_sentences(info, name, split)
    return sorted(found)


def folder_sentences(path: str) -> list[str]:
    """Of all episodes of a dataset folder.

    Raises:
      DataError: no such folder; no episode there has a language or a task.
    """
    info = open_dataset(path)
    splits = ((name, split) for name, counts in info.counts.items() for split in counts)
    found = set().union(*(split_sentences(info, name, split) for name, split in splits))
    if not found:
        raise DataError(
            f"{path}: no episode has a language or a task, so there is nothing to encode"
        )
    return sorted(found)


def split_sentences(info: DatasetInfo, name: str, split: str) -> set[str]:
    """Different sentences of the episodes of a split, without an empty one.

    Raises:
      DataError: a list of episodes that is missing or damaged, or a text that is none.
    """
    found = set()
    for episode in info.episodes(name, split):
        text = episode.get("language") or episode.get("task") or ""
        if not isinstance(text, str):
            raise DataError(
                f"dataset {name}, split {split!r}: the sentence of episode {episode['episode']} is "
                f"{text!r}, no text; {AGAIN}"
            )
        found.add(text)
    return found - {""}
