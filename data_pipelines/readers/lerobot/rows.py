"""The rows and pictures of one LeRobot episode, checked against its metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.readers.files import parquet_tables
from data_pipelines.readers.lerobot import frames as lerobot_frames
from data_pipelines.readers.lerobot.episodes import video_of
from data_pipelines.readers.lerobot.info import LeRobot
from data_pipelines.readers.recordings import ItemError


def iter_rows(
    data: LeRobot, episode: dict[str, Any], columns: Sequence[str], *, nullable: bool = False
) -> Iterator[dict[str, Any]]:
    """The rows of one episode, in order, a few in memory at a time.

    nullable: columns may be missing, and cells empty; both are None then. Raises ItemError:
    'missing labels'; 'nulls'; 'episode boundary' if the rows named by the metadata are not exactly
    those that carry the episode's number.
    """
    path = data.file(episode["data"])
    table = parquet_tables.open_parquet(path)
    missing = {"episode_index", *columns} - set(table.schema_arrow.names)
    if missing and not (nullable and "episode_index" not in missing):
        raise ItemError(
            "missing labels",
            f"{episode['data']}: no columns {', '.join(sorted(missing))}; it has "
            f"{', '.join(table.schema_arrow.names)}",
        )
    indexed = data.packed and "index" in table.schema_arrow.names
    asked = dict.fromkeys(("episode_index", *(["index"] if indexed else []), *columns))
    wanted = [name for name in asked if name not in missing]
    where, count = f"{episode['data']}: row", 0
    for row in parquet_tables.iter_dicts(table, path, wanted, _row_groups(table, episode)):
        if row["episode_index"] != episode["index"]:
            continue
        if indexed and row["index"] != episode["first_row"] + count:
            raise ItemError(
                "episode boundary",
                f"{where} {count} of episode {episode['index']} has index {row['index']}, "
                f"expected {episode['first_row'] + count}",
            )
        row |= dict.fromkeys(missing)
        empty = [name for name in columns if row[name] is None]
        if empty and not nullable:
            raise ItemError("nulls", f"{where} {count} of episode {episode['index']}: {empty[0]}")
        count += 1
        yield row
    if count != episode["length"]:
        raise ItemError(
            "episode boundary",
            f"{episode['data']}: {count} rows of episode {episode['index']}, the metadata say "
            f"{episode['length']}",
        )


def _row_groups(table, episode: dict[str, Any]) -> list[int]:
    """Row groups that may hold rows of the episode, by the statistics of `episode_index`."""
    chosen = []
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        columns = (group.column(i) for i in range(group.num_columns))
        column = next((c for c in columns if c.path_in_schema == "episode_index"), None)
        bounds = column and column.statistics
        if not bounds or not bounds.has_min_max or bounds.min <= episode["index"] <= bounds.max:
            chosen.append(number)
    return chosen


def read_columns(
    data: LeRobot, episode: dict[str, Any], columns: Sequence[str]
) -> dict[str, np.ndarray]:
    """Float32 (T, ...) per column; raises ItemError as iter_rows does, and for ragged rows."""
    rows = list(iter_rows(data, episode, columns))
    arrays = {}
    for name in columns:
        try:
            arrays[name] = np.asarray([row[name] for row in rows], np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise ItemError("wrong shape", f"{episode['data']}: {name}: {error}") from error
    return arrays


def iter_frames(data: LeRobot, episode: dict[str, Any], camera: str) -> Iterator[np.ndarray]:
    """The episode's frames uint8 (H, W, 3); raises ItemError 'frame count' unless T of them."""
    if data.features[camera].dtype == "video":
        video = video_of(episode, camera)
        path = data.file(video["file"])
        yield from lerobot_frames.video_frames(path, video, episode["length"], data.fps)
        return
    for row in iter_rows(data, episode, (camera,)):
        where = f"{episode['data']}: {camera}"
        yield lerobot_frames.picture(data.root, row[camera], where, follow_links=data.follow_links)
