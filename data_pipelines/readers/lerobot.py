"""LeRobot data sets, layouts v3.0 and v2.x: what they hold, and the rows and frames of an episode.

v3.0 packs many episodes into each parquet file and each mp4; `meta/episodes/*/*.parquet` says where
an episode starts. v2.x has one parquet file and one mp4 per camera for each episode. Pictures are
either in mp4 files or in the parquet rows, as {bytes, path} structs. Field names are those of
`meta/info.json` as LeRobot writes it. Paths come from templates in that file, and are checked.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.readers import lerobot_frames, paths
from data_pipelines.errors import DataError
from data_pipelines.optional import require
from data_pipelines.recordings import ItemError

VERSIONS = ("v2.0", "v2.1", "v3.0")
_BATCH_ROWS = 64
_EPISODE_COLUMNS = ("episode_index", "tasks", "length")


@dataclasses.dataclass(frozen=True)
class LeRobot:
    """`meta/info.json`, checked. features: name -> {dtype, shape, names}."""

    root: pathlib.Path
    version: str
    fps: float
    features: dict[str, dict[str, Any]]
    data_path: str
    video_path: str | None
    chunks_size: int
    splits: dict[str, str]

    @property
    def packed(self) -> bool:
        return self.version.startswith("v3")

    def names(self, feature: str) -> tuple[str, ...]:
        """Names of the dimensions of a vector feature; made up if the set does not say."""
        described = self.features[feature]
        names, width = described.get("names"), int(described["shape"][0])
        if isinstance(names, dict):  # {"motors": [...]} or {"axes": [...]}
            names = next(iter(names.values()), None)
        if isinstance(names, list) and len(names) == width and len(set(names)) == width:
            return tuple(str(name) for name in names)
        return tuple(f"{feature.split('.')[-1]}_{i}" for i in range(width))


def is_lerobot(root: pathlib.Path) -> bool:
    return (root / "meta" / "info.json").is_file()


def open_lerobot(root: pathlib.Path) -> LeRobot:
    """Raises DataError if `meta/info.json` is missing, damaged or of another version."""
    path = root / "meta" / "info.json"
    try:
        info = json.loads(path.read_text())
        found = LeRobot(
            root=root,
            version=str(info["codebase_version"]),
            fps=float(info["fps"]),
            features=dict(info["features"]),
            data_path=str(info["data_path"]),
            video_path=info.get("video_path"),
            chunks_size=int(info.get("chunks_size") or 1000),
            splits=dict(info.get("splits") or {}),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not the info.json of a LeRobot set ({error!r})") from error
    if found.version not in VERSIONS or found.fps <= 0:
        raise DataError(
            f"{path}: version {found.version}, {found.fps} fps; versions {', '.join(VERSIONS)} are "
            f"read. LeRobot converts older sets"
        )
    return found


def fill_template(template: str, values: dict[str, Any]) -> str:
    """'chunk-{chunk_index:03d}' with the values; only plain fields are filled.

    Not str.format, which would follow attributes that a template from a file names.
    """

    def fill(match: re.Match) -> str:
        if match["name"] not in values:
            raise DataError(f"path template {template!r}: unknown field {match['name']!r}")
        value = str(values[match["name"]])
        return value.zfill(int(match["digits"])) if match["digits"] else value

    filled = re.sub(r"\{(?P<name>\w+)(?::0?(?P<digits>\d{1,2})d)?\}", fill, template)
    if "{" in filled or "}" in filled:
        raise DataError(f"path template {template!r}: cannot be filled")
    return filled


def list_episodes(data: LeRobot, cameras: Sequence[str]) -> list[dict[str, Any]]:
    """One JSON-able description per episode, in order: index, tasks, length, where it is.

    cameras: features whose pictures will be read. Nothing but metadata is opened.
    """
    rows = _rows_of_parquet(data) if data.packed else _rows_of_jsonl(data)
    videos = [name for name in cameras if data.features[name]["dtype"] == "video"]
    if videos and not data.video_path:
        raise DataError(f"{data.root}: info.json declares videos but no video_path")
    return [_describe(data, row, videos) for row in sorted(rows, key=lambda r: r["episode_index"])]


def _rows_of_parquet(data: LeRobot) -> list[dict[str, Any]]:
    files = sorted(data.root.glob("meta/episodes/*/*.parquet"), key=paths.natural)
    if not files:
        raise DataError(f"{data.root}: no meta/episodes/chunk-*/file-*.parquet")
    rows = []
    for file in files:
        paths.inside(data.root, file.relative_to(data.root))
        table = _parquet(file)
        # the statistics of every feature are columns too, and the bulk of the file
        columns = [n for n in table.schema_arrow.names if not n.startswith("stats/")]
        rows += table.read(columns=columns).to_pylist()
    return rows


def _rows_of_jsonl(data: LeRobot) -> list[dict[str, Any]]:
    path = data.root / "meta" / "episodes.jsonl"
    try:
        lines = path.read_text().splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _describe(data: LeRobot, row: dict[str, Any], videos: Sequence[str]) -> dict[str, Any]:
    try:
        index = int(row["episode_index"])
        where: dict[str, Any] = {
            "episode_chunk": index // data.chunks_size,
            "episode_index": index,
        }
        first, span = 0, {name: (0.0, None) for name in videos}
        if data.packed:
            first = int(row["dataset_from_index"])
            for name in videos:
                prefix = f"videos/{name}"
                span[name] = (row[f"{prefix}/from_timestamp"], row[f"{prefix}/to_timestamp"])
        tasks = row.get("tasks") or []
        return {
            "index": index,
            "length": int(row["length"]),
            "tasks": [tasks] if isinstance(tasks, str) else [str(task) for task in tasks],
            "first_row": first,
            "data": fill_template(data.data_path, where | _file_of(data, row, "data")),
            "videos": {
                name: {
                    "file": fill_template(
                        data.video_path,
                        where | {"video_key": name} | _file_of(data, row, f"videos/{name}"),
                    ),
                    "start": span[name][0],
                    "stop": span[name][1],
                }
                for name in videos
            },
        }
    except DataError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{data.root}: an episode's entry in meta/ lacks a field ({error!r}): "
            f"{ {name: row.get(name) for name in _EPISODE_COLUMNS} }"
        ) from error


def _file_of(data: LeRobot, row: dict[str, Any], prefix: str) -> dict[str, int]:
    if not data.packed:
        return {}
    return {name: int(row[f"{prefix}/{name}"]) for name in ("chunk_index", "file_index")}


def _parquet(path: pathlib.Path):
    require("pyarrow")
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise ItemError("unreadable", f"{path}: damaged or missing ({error})") from error


def _row_groups(table, episode: dict[str, Any]) -> list[int]:
    """Row groups that may hold rows of the episode, by the statistics of `episode_index`."""
    chosen = []
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        columns = (group.column(i) for i in range(group.num_columns))
        bounds = next(c for c in columns if c.path_in_schema == "episode_index").statistics
        unknown = bounds is None or not bounds.has_min_max
        if unknown or bounds.min <= episode["index"] <= bounds.max:
            chosen.append(number)
    return chosen


def iter_rows(
    data: LeRobot, episode: dict[str, Any], columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The rows of one episode, in order, a few in memory at a time.

    Raises ItemError: 'nulls'; 'episode boundary' if the rows named by the metadata are not exactly
    those that carry the episode's number.
    """
    table = _parquet(paths.inside(data.root, episode["data"]))
    missing = {"episode_index", *columns} - set(table.schema_arrow.names)
    if missing:
        raise ItemError("missing labels", f"{episode['data']}: no columns {sorted(missing)}")
    indexed = data.packed and "index" in table.schema_arrow.names
    wanted = list(dict.fromkeys(("episode_index", *(["index"] if indexed else []), *columns)))
    batches = table.iter_batches(
        _BATCH_ROWS, row_groups=_row_groups(table, episode), columns=wanted
    )
    count = 0
    for batch in batches:
        for row in batch.to_pylist():
            if row["episode_index"] != episode["index"]:
                continue
            if indexed and row["index"] != episode["first_row"] + count:
                raise ItemError(
                    "episode boundary",
                    f"{episode['data']}: row {count} of episode {episode['index']} has index "
                    f"{row['index']}, expected {episode['first_row'] + count}",
                )
            if any(row[name] is None for name in columns):
                raise ItemError("nulls", f"{episode['data']}: row {count} of {episode['index']}")
            count += 1
            yield row
    if count != episode["length"]:
        raise ItemError(
            "episode boundary",
            f"{episode['data']}: {count} rows of episode {episode['index']}, the metadata say "
            f"{episode['length']}",
        )


def read_columns(
    data: LeRobot, episode: dict[str, Any], columns: Sequence[str]
) -> dict[str, np.ndarray]:
    """Float32 (T, ...) per column; raises ItemError as iter_rows does, and for ragged rows."""
    rows = list(iter_rows(data, episode, columns))
    arrays = {}
    for name in columns:
        try:
            arrays[name] = np.asarray([row[name] for row in rows], np.float32)
        except (TypeError, ValueError) as error:
            raise ItemError("wrong shape", f"{episode['data']}: {name}: {error}") from error
    return arrays


def iter_frames(data: LeRobot, episode: dict[str, Any], camera: str) -> Iterator[np.ndarray]:
    """The episode's frames uint8 (H, W, 3); raises ItemError 'frame count' unless T of them."""
    if data.features[camera]["dtype"] == "video":
        video = episode["videos"][camera]
        path = paths.inside(data.root, video["file"])
        yield from lerobot_frames.video_frames(path, video, episode["length"], data.fps)
        return
    for row in iter_rows(data, episode, (camera,)):
        yield lerobot_frames.picture(data.root, row[camera], episode["data"])
