"""`prepare rlds`: a folder prepared by TFDS in the RLDS schema, as Open X-Embodiment publishes."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from data_pipelines.errors import DataError
from data_pipelines.recordings import ItemError
from data_pipelines.tfds_episodes import Episode, shard_episodes
from data_pipelines.tfds_folder import open_folder


def episodes(folder: str | pathlib.Path, split: str) -> Iterator[Episode]:
    """The episodes of one published split, shard by shard.

    Raises ItemError at the first damaged record; `shard_episodes` goes on behind it.
    """
    opened = open_folder(folder)
    if split not in opened.shards:
        raise DataError(f"{folder}: no split {split!r}; it has {', '.join(opened.shards)}")
    for shard in opened.shards[split]:
        for episode in shard_episodes(opened, shard):
            if isinstance(episode, ItemError):
                raise episode
            yield episode
