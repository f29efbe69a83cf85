"""The LeRobot v3.0 set that a dataset folder was made from, with the latent columns beside its own.

The original is only read. The new set has its rows, every column as it was, and the latent columns
behind them; its tables of tasks and episodes, to the byte; and links to its videos, which are not
copied. Rows of episodes that the dataset does not have (skipped, or of splits that were left out)
hold the empty prefix, `is_pad` true, like the last rows of every episode.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.exporters.columns import IS_PAD, latent_rows
from data_pipelines.exporters.episodes import EpisodeEntry, LatentSet
from data_pipelines.exporters.lerobot.features import (
    LATENT,
    arrow_column,
    extended_schema,
    latent_features,
)
from data_pipelines.exporters.lerobot.statistics import Total, row_statistics
from data_pipelines.exporters.parts import ExportFolder, check_outside
from data_pipelines.format.manifest import file_hash
from data_pipelines.optional import require
from data_pipelines.readers import lerobot
from data_pipelines.readers.files import opening, parquet_tables
from data_pipelines.typed_json import read_json

_SOURCE = re.compile(r"episode_(\d{1,9})")
_COPIED = ("meta/tasks.parquet", "meta/episodes")


def write_lerobot_beside(
    path: str | pathlib.Path,
    source: LatentSet,
    original: str | pathlib.Path,
    *,
    texts: dict[str, str] | None = None,
) -> None:
    """Writes the set, unless it is there; killed, the same call goes on with the next file.

    Args:
      original: the folder that holds meta/.
      texts: further files, name -> content (cards).

    Raises:
      DataError: a set of another version, one that the dataset was not made from, or that has
        latent columns already; `path` inside `original`.
    """
    require("pyarrow")
    data, entries = check_original(original, source.spec.name, source.entries)
    root, added = data.root, latent_features(source.facts)
    check_outside(path, root)
    described = {episode["index"]: episode for episode in lerobot.list_episodes(data, [])}
    identity = {
        "format": "lerobot",
        "beside": {"info.json": file_hash(root / "meta" / "info.json")},
    } | source.identity()
    with ExportFolder(path, identity) as folder:
        if folder.finished():
            return
        totals = {name: Total() for name in added}
        rows = _LatentRows(source, entries)
        for name in dict.fromkeys(episode["data"] for episode in described.values()):
            file = data.file(name)  # no name leads out of the set
            said = folder.write(name, lambda path, file=file: _fill(path, file, rows, added))
            for feature, part in said["statistics"].items():
                totals[feature].add(part)
        for name in _files(root, _COPIED):
            folder.write(name, lambda path, name=name: _copy(root / name, path))
        if (root / "meta" / "stats.json").is_file():
            known = read_json(root / "meta" / "stats.json", dict[str, Any], remedy="copy it again")
            known |= {name: total.told() for name, total in totals.items() if total.count}
            folder.write_text("meta/stats.json", json.dumps(known, indent=1) + "\n")
        info = read_json(root / "meta" / "info.json", dict[str, Any], remedy="copy it again")
        info["features"] |= added
        folder.write_text("meta/info.json", json.dumps(info, indent=1) + "\n")
        _link_pictures(root, folder.path)
        for name, text in (texts or {}).items():
            folder.write_text(name, text)
        folder.finish(episodes=len(described), with_latents=len(entries))


def check_original(
    original: str | pathlib.Path, dataset: str, entries: Sequence[EpisodeEntry]
) -> tuple[lerobot.LeRobot, dict[int, EpisodeEntry]]:
    """The original set, opened, and number in it -> episode of the dataset; no row is read.

    Raises DataError as `write_lerobot_beside`.
    """
    data = lerobot.open_lerobot(pathlib.Path(original).expanduser().resolve())
    if not data.packed:
        raise DataError(
            f"{data.root}: is a set of version {data.version}; latent columns are written beside "
            "v3.0, to which LeRobot's own converter brings it"
        )
    taken = sorted(name for name in data.features if name.startswith(LATENT))
    if taken:
        raise DataError(f"{data.root}: has {taken[0]} already; nothing of it is replaced")
    lengths = {entry["index"]: entry["length"] for entry in lerobot.list_episodes(data, [])}
    matched = {}
    for entry in entries:
        found = _SOURCE.fullmatch(entry.source)
        number = int(found[1]) if found else -1
        if lengths.get(number) != entry.length:
            raise DataError(
                f"dataset {dataset}: episode {entry.number} was made from {entry.source[:80]!r} and "
                f"has {entry.length} frames; {data.root} has no such episode. Give the set that the "
                "folder was prepared from"
            )
        matched[number] = entry
    return data, matched


class _LatentRows:
    """The latent columns of any episode of the original; keeps the one that was read last."""

    def __init__(self, source: LatentSet, entries: dict[int, EpisodeEntry]):
        self._source, self._entries = source, entries
        self._last: tuple[int, dict[str, np.ndarray]] = (-1, {})

    def of(self, episodes: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of rows: episode and time of each, int (N,)."""
        facts = self._source.facts
        nothing = np.empty((0, facts.slots, facts.slot_width), np.float32)
        ids = np.empty((0, facts.slots), np.int64)
        columns = latent_rows(facts, len(episodes), nothing, ids)
        for number in dict.fromkeys(episodes.tolist()):
            if number in self._entries:
                held = self._episode(number)
                here = episodes == number
                for name, rows in columns.items():
                    rows[here] = held[name][times[here]]
        return columns

    def _episode(self, number: int) -> dict[str, np.ndarray]:
        if self._last[0] != number:
            self._last = (number, self._source.latents(self._entries[number]))
        return self._last[1]


def _fill(
    path: pathlib.Path, original: pathlib.Path, rows: _LatentRows, added: dict[str, Any]
) -> dict[str, Any]:
    """Copies a file of rows with more columns, row group by row group."""
    pa = require("pyarrow")
    import pyarrow.parquet as pq

    table = parquet_tables.open_parquet(original)
    lacking = {"episode_index", "frame_index"} - set(table.schema_arrow.names)
    if lacking:
        raise DataError(f"{original}: has no column {min(lacking)}, by which latents are joined")
    schema = extended_schema(table.schema_arrow, added)
    totals = {name: Total() for name in added}
    with pq.ParquetWriter(path, schema) as writer:
        for number in range(table.num_row_groups):
            try:
                group = table.read_row_group(number)
            except (OSError, ValueError) as error:
                raise opening.unreadable(original, error, "a Parquet file") from error
            wheres = [group[name].to_numpy() for name in ("episode_index", "frame_index")]
            latents = rows.of(*wheres)
            arrays = [column for column in group.columns]
            for name, entry in added.items():
                values = latents[name.removeprefix(LATENT)]
                arrays.append(pa.chunked_array([arrow_column(entry, values)]))
                known = values if name.endswith(IS_PAD) else values[~latents[IS_PAD]]
                part = row_statistics(known)
                if part is not None:
                    totals[name].add(part)
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return {"statistics": {name: total.told() for name, total in totals.items() if total.count}}


def _files(root: pathlib.Path, names: tuple[str, ...]) -> list[str]:
    """Files at or below `names`, by their path in the set."""
    found = []
    for name in names:
        place = root / name
        found += sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
    return [str(place.relative_to(root)) for place in found if place.is_file()]


def _copy(original: pathlib.Path, path: pathlib.Path) -> None:
    shutil.copyfile(original, path)


def _link_pictures(root: pathlib.Path, place: pathlib.Path) -> None:
    """Links to the videos and pictures of the original, if it has any beside its rows."""
    for name in ("videos", "images"):
        if (root / name).is_dir() and not os.path.lexists(place / name):
            (place / name).symlink_to(root / name, target_is_directory=True)
