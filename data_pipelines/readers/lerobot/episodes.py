"""The episodes of a LeRobot set: how long they are, and in which files they lie.

Paths come from templates in `meta/info.json`. They are data: only plain fields are filled in, and
what they lead to is checked where it is opened (`LeRobot.file`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.readers.files import parquet_tables
from data_pipelines.readers.files.listing import list_files
from data_pipelines.readers.lerobot.info import LeRobot, meta_file
from data_pipelines.readers.lerobot.stretches import settle_starts
from data_pipelines.readers.recordings import ItemError
from data_pipelines.typed_json import read_json_lines

MAX_LENGTH = 100_000_000  # frames of an episode
_MAX_NUMBER = 100 * MAX_LENGTH  # of an episode, a file, a row of the whole set


def list_episodes(data: LeRobot, cameras: Sequence[str]) -> list[dict[str, Any]]:
    """One JSON-able description per episode, in order: index, tasks, length, where it is.

    cameras: features whose pictures will be read. tasks: texts, or numbers of `meta/tasks`; see
    language.py. videos: camera -> {file, start, stop} in seconds, None where the metadata name no
    place for it. Of packed videos the headers are read, too; see stretches.py. Raises DataError for
    metadata that cannot be read.
    """
    rows = _rows_of_parquet(data) if data.packed else _rows_of_jsonl(data)
    videos = [name for name in cameras if data.features[name].dtype == "video"]
    if videos and not data.video_path:
        raise DataError(f"{data.root}/meta/info.json: declares videos but no video_path")
    found = sorted((_describe(data, row, videos) for row in rows), key=lambda entry: entry["index"])
    if data.packed:
        settle_starts(data, found, videos)
    return found


def video_of(episode: dict[str, Any], camera: str) -> dict[str, Any]:
    """Where the pictures of a camera are: {file, start, stop}.

    Raises ItemError: 'no images', or 'frame count' where the place cannot be right.
    """
    video = episode["videos"].get(camera)
    if video is None:
        raise ItemError(
            "no images",
            f"episode {episode['index']}: meta/episodes names no place of {camera}: chunk_index, "
            "file_index, from_timestamp and to_timestamp, in seconds from 0",
        )
    if "fault" in video:
        raise ItemError("frame count", video["fault"])
    return video


def _rows_of_parquet(data: LeRobot) -> list[dict[str, Any]]:
    folder = data.root / "meta" / "episodes"
    found = list_files(folder, (".parquet",), follow_links=data.follow_links).files
    if not found:
        raise DataError(
            f"{data.root}: no meta/episodes/chunk-*/file-*.parquet, which a set of version "
            f"{data.version} has"
        )
    rows: list[dict[str, Any]] = []
    for file in found:
        # The statistics of every feature are columns too, and the bulk of the file.
        path = data.file(file.relative_to(data.root))
        rows += parquet_tables.read_dicts(path, lambda name: not name.startswith("stats/"))
    return rows


def _rows_of_jsonl(data: LeRobot) -> list[dict[str, Any]]:
    path = meta_file(data.root, "episodes.jsonl", "JSON", data.follow_links)
    return list(read_json_lines(path, dict[str, Any]))


def _describe(data: LeRobot, row: dict[str, Any], videos: Sequence[str]) -> dict[str, Any]:
    index, length = _whole(data, row, "episode_index"), _whole(data, row, "length")
    where = {"episode_chunk": index // data.chunks_size, "episode_index": index}
    tasks = row.get("tasks")
    tasks = [] if tasks is None else tasks if isinstance(tasks, list) else [tasks]
    return {
        "index": index,
        "length": length,
        "tasks": [task for task in tasks if type(task) in (str, int)],
        "first_row": _whole(data, row, "dataset_from_index") if data.packed else 0,
        "data": fill_template(data.data_path, where | _file_of(data, row, "data")),
        "videos": {name: _video(data, row, name, where) for name in videos},
    }


def _video(data: LeRobot, row: dict[str, Any], name: str, where: dict) -> dict[str, Any] | None:
    """Where the pictures of a camera are; None if the row does not say, or says nonsense."""
    prefix, start, stop = f"videos/{name}", 0.0, None
    if data.packed:
        if row.get(f"{prefix}/chunk_index") is None or row.get(f"{prefix}/file_index") is None:
            return None
        start, stop = (row.get(f"{prefix}/{end}_timestamp") for end in ("from", "to"))
        seconds = [value for value in (start, stop) if isinstance(value, (int, float))]
        if len(seconds) != 2 or not 0 <= start <= stop <= MAX_LENGTH:  # also catches NaN
            return None
    values = where | {"video_key": name} | _file_of(data, row, prefix)
    return {"file": fill_template(data.video_path, values), "start": start, "stop": stop}


def _file_of(data: LeRobot, row: dict[str, Any], prefix: str) -> dict[str, int]:
    if not data.packed:
        return {}
    return {name: _whole(data, row, f"{prefix}/{name}") for name in ("chunk_index", "file_index")}


def _whole(data: LeRobot, row: dict[str, Any], field: str) -> int:
    """A field that must be a whole number; tables made elsewhere may hold it as a float."""
    value = row.get(field)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    most = MAX_LENGTH if field == "length" else _MAX_NUMBER
    if type(value) is not int or not 0 <= value <= most:
        number = str(row.get("episode_index"))[:20]
        raise DataError(
            f"{data.root}/meta: the entry of episode {number} has {field} = {str(value)[:40]!r}; "
            f"expected a whole number from 0 to {most}"
        )
    return value


def fill_template(template: str, values: dict[str, Any]) -> str:
    """'chunk-{chunk_index:03d}' with the values; only plain fields are filled.

    Not str.format, which would follow attributes that a template from a file names.
    """

    def fill(match: re.Match) -> str:
        if match["name"] not in values:
            raise DataError(
                f"path template {template!r}: unknown field {match['name']!r}; is codebase_version "
                "that of the files?"
            )
        value = str(values[match["name"]])
        return value.zfill(int(match["digits"])) if match["digits"] else value

    filled = re.sub(r"\{(?P<name>\w+)(?::0?(?P<digits>\d{1,2})d)?\}", fill, template)
    if "{" in filled or "}" in filled:
        raise DataError(f"path template {template!r}: cannot be filled")
    return filled
