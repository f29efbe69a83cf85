"""The published splits of a LeRobot set: ranges of episodes in info.json."""

from __future__ import annotations

import re

from data_pipelines.errors import DataError
from data_pipelines.readers.lerobot.info import LeRobot
from data_pipelines.readers.tfds.shards import SPLITS


def published_split(data: LeRobot, episode: int) -> str | None:
    """The split of an episode, None if the set leaves it open.

    A lone `train` is no split at all, as LeRobot writes it into every set. Raises DataError for a
    range that is none.
    """
    if len(data.splits) < 2:
        return None
    for name, text in data.splits.items():
        found = re.fullmatch(r"(\d{0,15}):(\d{0,15})", str(text))
        if not found:
            raise DataError(
                f"{data.root}/meta/info.json: splits.{name[:40]} is {str(text)[:40]!r}; expected "
                "'first:end', numbers of episodes"
            )
        first, end = int(found[1] or 0), int(found[2]) if found[2] else None
        if first <= episode and (end is None or episode < end):
            return SPLITS.get(name.lower())
    return None
