"""A LeRobot v3.0 set out of a dataset folder and its latents.

Pictures are PNG or JPEG in the rows, equal to what the model read, so that its codes can be computed
again. Row t has the action that leads from frame t to t + 1; the last row of an episode repeats the
one before, its reward is 0, and `next.done` is true there. Splits are ranges of episodes, which are
numbered anew; `source/*` in meta/episodes says which they were.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.exporters.columns import IS_PAD
from data_pipelines.exporters.episodes import EpisodeEntry, LatentEpisode, LatentSet, last_repeated
from data_pipelines.exporters.lerobot import features as fields
from data_pipelines.exporters.lerobot.statistics import (
    Statistics,
    Total,
    picture_statistics,
    row_statistics,
)
from data_pipelines.exporters.lerobot.tables import (
    statistics_columns,
    write_episodes,
    write_tasks,
)
from data_pipelines.exporters.parts import ExportFolder
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.optional import require

VERSION = "v3.0"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
_CHUNK = 1000  # files of a folder
_FILE_BYTES = 100 << 20  # of a file, before its pictures are compressed
_GROUP_BYTES = 1 << 30  # of the pictures in a row group; an Arrow array holds twice that


def write_lerobot(
    path: str | pathlib.Path,
    source: LatentSet,
    *,
    fps: float | None = None,
    texts: dict[str, str] | None = None,
) -> None:
    """Writes the set, unless it is there; killed, the same call goes on with the next file.

    Args:
      fps: frames per second, for a dataset that does not know its own.
      texts: further files, name -> content (cards).

    Raises:
      DataError: no frame rate; pyarrow is missing; a folder of anything else; damaged records.
    """
    require("pyarrow")
    rate = frame_rate(source.spec, fps)
    pictures = fields.PICTURES + source.camera if source.has_pictures else ""
    features = fields.set_features(source.spec, pictures, source.facts)
    tasks = list(dict.fromkeys(entry.language for entry in source.entries))
    identity = {"format": "lerobot", "version": VERSION, "fps": rate} | source.identity()
    with ExportFolder(path, identity) as folder:
        if folder.finished():
            return
        writer = _Rows(source, features, pictures, rate, {text: i for i, text in enumerate(tasks)})
        totals = {name: Total() for name in features}
        for number, group in enumerate(_groups(source)):
            said = folder.write(
                DATA_PATH.format(**_place(number)),
                lambda path, group=group: writer.fill(path, *group),
            )
            for statistics in said["statistics"]:
                for name, found in statistics.items():
                    totals[name].add(found)
        told = {name: total.told() for name, total in totals.items() if total.count}
        folder.write("meta/tasks.parquet", lambda path: write_tasks(path, tasks))
        folder.write(
            EPISODES_PATH, lambda path: write_episodes(path, _described(folder, source), told)
        )
        folder.write_text("meta/stats.json", json.dumps(told, indent=1) + "\n")
        info = _info(source, features, rate, len(tasks))
        folder.write_text("meta/info.json", json.dumps(info, indent=1) + "\n")
        for name, text in (texts or {}).items():
            folder.write_text(name, text)
        folder.finish(episodes=len(source.entries), frames=source.frames)


def frame_rate(spec: DatasetSpec, fps: float | None) -> float:
    """Frames per second; DataError if neither the dataset nor `fps` says them, or both do."""
    if spec.fps and fps is not None and fps != spec.fps:
        raise DataError(f"dataset {spec.name} has {spec.fps:g} frames per second, not {fps:g}")
    if not spec.fps and not fps:
        raise DataError(
            f"dataset {spec.name} does not know its frames per second, which a LeRobot set must; "
            "give them with --fps"
        )
    return spec.fps or float(fps or 0)


def _groups(source: LatentSet) -> Iterator[tuple[int, Sequence[EpisodeEntry]]]:
    """(number of the first episode, the episodes of a file), the same at every call."""
    facts, spec = source.facts, source.spec
    row = 4 * facts.slots * facts.slot_width + 4 * len(spec.state_names) + 256
    row += int(np.prod(spec.image_shape)) if source.has_pictures else 0
    most, first, frames = max(1, _FILE_BYTES // row), 0, 0
    for number, entry in enumerate(source.entries):
        if frames and frames + entry.length > most:
            yield first, source.entries[first:number]
            first, frames = number, 0
        frames += entry.length
    if frames:
        yield first, source.entries[first:]


class _Rows:
    """Writes the rows of some episodes to a file, a row group each."""

    def __init__(
        self,
        source: LatentSet,
        features: dict[str, Any],
        pictures: str,
        rate: float,
        tasks: dict[str, int],
    ):
        self._source, self._features, self._pictures = source, features, pictures
        self._rate, self._tasks = rate, tasks
        lengths = [entry.length for entry in source.entries]
        self._starts = np.concatenate([[0], np.cumsum(lengths)])

    def fill(
        self, path: pathlib.Path, first: int, entries: Sequence[EpisodeEntry]
    ) -> dict[str, Any]:
        """Returns {"statistics": those of each episode}."""
        pa = require("pyarrow")
        import pyarrow.parquet as pq

        schema = fields.arrow_schema(self._features)
        plain = [name for name in self._features if name != self._pictures]
        statistics = []
        with pq.ParquetWriter(path, schema, use_dictionary=plain) as writer:
            for number, entry in enumerate(entries, first):
                episode = self._source.read(entry)
                columns = self._columns(episode, number)
                for rows in self._pieces(episode):
                    arrays = [
                        fields.arrow_column(self._features[name], columns[name][rows])
                        for name in schema.names
                    ]
                    writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                statistics.append(self._statistics(columns))
        return {"statistics": statistics}

    def _pieces(self, episode: LatentEpisode) -> Iterator[slice]:
        """The rows of an episode, of which one Arrow array can hold the pictures: mostly all."""
        first, size = 0, 0
        for t, data in enumerate(episode.pictures):
            size += len(data)
            if size > _GROUP_BYTES and t > first:
                yield slice(first, t)
                first, size = t, len(data)
        yield slice(first, episode.entry.length)

    def _columns(self, episode: LatentEpisode, number: int) -> dict[str, Any]:
        entry, times = episode.entry, np.arange(episode.entry.length)
        columns: dict[str, Any] = {
            "timestamp": (times / self._rate).astype(np.float32),
            "frame_index": times,
            "episode_index": np.full_like(times, number),
            "index": self._starts[number] + times,
            "task_index": np.full_like(times, self._tasks[entry.language]),
            fields.DONE: times == times[-1],
        }
        if self._pictures:
            columns[self._pictures] = episode.pictures
        if episode.state is not None:
            columns[fields.STATE] = episode.state
        if episode.action is not None:
            columns[fields.ACTION] = last_repeated(episode.action)
        if episode.reward is not None:
            columns[fields.REWARD] = np.append(episode.reward, np.float32(0))
        return columns | {fields.LATENT + k: rows for k, rows in episode.latents.items()}

    def _statistics(self, columns: dict[str, Any]) -> dict[str, Statistics]:
        known = ~columns[fields.LATENT + IS_PAD]
        found = {}
        for name in self._features:
            if name == self._pictures:
                found[name] = picture_statistics(columns[name], self._source.picture)
            elif name.startswith(fields.LATENT) and not name.endswith(IS_PAD):
                found[name] = row_statistics(columns[name][known])
            else:
                found[name] = row_statistics(columns[name])
        return {name: part for name, part in found.items() if part is not None}


def _place(file: int) -> dict[str, int]:
    """Where the rows of a file lie."""
    return {"chunk_index": file // _CHUNK, "file_index": file % _CHUNK}


def _described(folder: ExportFolder, source: LatentSet) -> Iterator[list[dict[str, Any]]]:
    """The rows of meta/episodes, those of a file of rows at a time: statistics are large."""
    start = 0
    for number, (first, entries) in enumerate(_groups(source)):
        place = _place(number)
        said = folder.said(DATA_PATH.format(**place))
        rows = []
        for i, (entry, statistics) in enumerate(zip(entries, said["statistics"], strict=True)):
            stop = start + entry.length
            row = {
                "episode_index": first + i,
                "tasks": [entry.language],
                "length": entry.length,
                "dataset_from_index": start,
                "dataset_to_index": stop,
                **{f"data/{key}": value for key, value in place.items()},
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
                "source/split": entry.split,
                "source/episode": entry.number,
                "source/name": entry.source,
            }
            rows.append(row | statistics_columns(statistics))
            start = stop
        yield rows


def _info(source: LatentSet, features: dict[str, Any], rate: float, tasks: int) -> dict[str, Any]:
    splits, first = {}, 0
    for split in source.splits:
        count = len(source.of_split(split))
        splits[split] = f"{first}:{first + count}"
        first += count
    return {
        "codebase_version": VERSION,
        "robot_type": source.spec.details.get("robot") or None,
        "total_episodes": first,
        "total_frames": source.frames,
        "total_tasks": tasks,
        "chunks_size": _CHUNK,
        "data_files_size_in_mb": _FILE_BYTES >> 20,
        "video_files_size_in_mb": 200,
        "fps": int(rate) if float(rate).is_integer() else rate,
        "splits": splits,
        "data_path": DATA_PATH,
        "video_path": None,
        "features": features,
    }
