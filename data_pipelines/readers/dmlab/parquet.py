"""The 30 levels as parquet: `<level>/{train,test}-00000-of-00111.parquet`, no episode ids.

Columns (the dataset card of EpicPinkPenguin/dm_lab): observation struct {bytes, path} (an encoded
RGB picture), action int32, reward float32, terminated bool, truncated bool. Rows are consecutive
steps over all files of a level and split; an episode ends with the row where terminated or
truncated is set, so it may lie across row groups and files.

Alignment: row t holds the frame, the action taken at it and the reward that followed. The last
row's action leads to no stored frame: N rows are N frames, N - 1 actions and N - 1 rewards.

An item is a range of row groups. It owns the episodes that *start* in it, skips the rest of the one
before and reads on behind its end to finish its last one; so every episode has one owner.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.readers.dmlab.actions import choose_table, table_spec
from data_pipelines.readers.dmlab.levels import (
    channel_order,
    chosen_levels,
    level_dataset,
    level_spec,
    upright_rgb,
)
from data_pipelines.readers.dmlab.parquet_files import (
    COLUMNS,
    Position,
    SplitRows,
    end_flags,
    is_rows,
    largest_action,
)
from data_pipelines.readers.files import labels
from data_pipelines.readers.files.listing import Listing, list_files
from data_pipelines.readers.frame_options import follow_links
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped

LAYOUT = "<level>/{train,test}-*.parquet (30 levels)"
SPLITS = ("train", "test")
ITEM_BYTES = 256 << 20  # large beside an episode: reading on behind the end costs little
LONGEST = 100_000  # rows: two hours; beyond, the ends of episodes are missing


def find(root: pathlib.Path, links: bool = True) -> list[str]:
    """Folders of levels, relative to `root` ("." if `root` is one), sorted."""
    found = _list(root, links).files
    return sorted({str(path.parent.relative_to(root)) for path in found})


def _list(root: pathlib.Path, links: bool) -> Listing:
    def named(name: str) -> bool:
        return any(is_rows(name, split) for split in SPLITS)

    return list_files(root, named=named, follow_links=links)


def plan(root: pathlib.Path, options: dict[str, Any]) -> Plan:
    links = follow_links(options)
    folders: dict[str, str] = {}
    for folder in find(root, links):
        level = (root / folder).name
        if level in folders:
            raise DataError(
                f"{root}: level {level} is in {folders[level]} and in {folder}; name the folder "
                "that holds one of them"
            )
        folders[level] = folder
    levels = chosen_levels(list(folders), options)
    items, skipped, largest = [], [], -1
    for level in levels:
        for split in SPLITS:
            rows = SplitRows(root / folders[level], split, follow_links=links)
            found, bad, top = _split_items(rows, level, folders[level], split)
            items, skipped, largest = items + found, skipped + bad, max(largest, top)
    if not items:
        reasons = "; ".join(skip.detail for skip in skipped[:3])
        raise DataError(f"{root}: no readable parquet file with rows. {reasons}")
    table = choose_table(options["actions"], largest)
    order = channel_order(options, "rgb")
    specs = [
        level_spec(
            level,
            options,
            table_spec(table),
            {"action_table": table, "largest_action": largest, "channels_of_source": order},
            behaviour="DreamerV3, one agent per level",
        )
        for level in levels
    ]
    sources = {"levels": levels, "largest_action": largest, "action_table": table}
    listing = _list(root, links)
    return Plan(
        specs,
        items,
        skipped + listing.skipped,
        sources,
        one_recording_per_item=False,
        passed_over=listing.passed_over(),
    )


def _split_items(
    rows: SplitRows, level: str, folder: str, split: str
) -> tuple[list[Item], list[Skipped], int]:
    """The items of one split, its unusable files, and its largest action."""
    items, skipped, largest = [], [], -1
    for number in rows.missing():
        name = f"{folder}/{split}-{number:05d}"
        detail = f"{name}: the others announce it"
        skipped.append(Skipped(name, "missing shard", detail, episodes=None))
    for index, path in enumerate(rows.files):
        try:
            largest = max(largest, largest_action(rows, index))
        except ItemError as error:
            name = f"{folder}/{path.name}"
            skipped.append(Skipped(name, error.reason, str(error), episodes=None))
            continue
        for start, stop, size in _ranges(rows.open(index).metadata):
            payload = {
                "level": level,
                "folder": folder,
                "split": split,
                "file": path.name,
                "start": start,
                "stop": stop,
            }
            items.append(Item(f"{folder}/{path.name}:{start}-{stop}", payload, size, None))
    return items, skipped, largest


def _ranges(metadata) -> Iterator[tuple[int, int, int]]:
    """(first row group, end, bytes) of pieces of a file with about ITEM_BYTES each."""
    start, size = 0, 0
    for group in range(metadata.num_row_groups):
        size += metadata.row_group(group).total_byte_size
        if size >= ITEM_BYTES or group + 1 == metadata.num_row_groups:
            yield start, group + 1, size
            start, size = group + 1, 0


@dataclasses.dataclass
class _Episode:
    """Rows of the episode being read; frames stay encoded. `nulls`: rows with a missing value."""

    row: str  # file, row group and row where it starts
    headless: bool  # what lay before it is missing
    frames: list[bytes] = dataclasses.field(default_factory=list)
    action: list[int] = dataclasses.field(default_factory=list)
    reward: list[float] = dataclasses.field(default_factory=list)
    nulls: int = 0
    length: int = 0

    def add(self, rows) -> None:
        """Appends the rows of a pyarrow.RecordBatch; beyond LONGEST it only counts them."""
        self.length += len(rows)
        if self.length > LONGEST:
            self.frames.clear()
            return
        columns = [rows.column(name).to_pylist() for name in COLUMNS[1:]]
        frames = [cell and cell.get("bytes") for cell in rows.column(COLUMNS[0]).to_pylist()]
        self.nulls += sum(None in row for row in zip(frames, *columns, strict=True))
        self.frames += frames
        self.action += columns[0]
        self.reward += columns[1]


def read(item: Item, root: pathlib.Path, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    where = item.payload
    rows = SplitRows(root / where["folder"], where["split"], follow_links=follow_links(options))
    names = [path.name for path in rows.files]
    if where["file"] not in names:
        raise ItemError("missing shard", f"{where['folder']}/{where['file']}: it was there before")
    file = names.index(where["file"])
    for episode, ended in owned_episodes(rows, (file, where["start"]), (file, where["stop"])):
        name = f"{where['folder']}/{episode.row}"
        try:
            yield _recording(name, episode, ended, where, options)
        except ItemError as error:
            yield Skipped(name, error.reason, str(error))


def owned_episodes(
    rows: SplitRows, start: Position, stop: Position
) -> Iterator[tuple[_Episode, bool]]:
    """(episode, whether its end is in the data) for the episodes that start in [start, stop)."""
    inside = rows.starts_episode(start)
    episode: _Episode | None = None
    for position in rows.positions(start):
        owned = position < stop
        if not owned and episode is None:
            return
        for row, part, ended in _runs(rows.read(position)):
            if inside:
                episode = episode or _new_episode(rows, position, row)
                episode.add(part)
            if ended:
                if episode is not None:
                    yield episode, True
                    episode = None
                if not owned:
                    return
                inside = True
    if episode is not None:
        yield episode, False


def _runs(batches: Iterator) -> Iterator[tuple[int, Any, bool]]:
    """(first row, pyarrow.RecordBatch, whether an episode ends with it) of rows of one episode."""
    first = 0
    for batch in batches:
        ends = np.flatnonzero(end_flags(batch)) + 1
        bounds = sorted({0, *ends.tolist(), len(batch)})
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
            yield first + begin, batch.slice(begin, end - begin), end in ends
        first += len(batch)


def _new_episode(rows: SplitRows, position: Position, row: int) -> _Episode:
    file, group = position
    headless = row == 0 and rows.is_headless(position)
    return _Episode(f"{rows.files[file].name}:{group}:{row}", headless)


def _recording(
    name: str, episode: _Episode, ended: bool, where: dict[str, Any], options: dict[str, Any]
) -> Recording:
    if episode.length > LONGEST:
        raise ItemError("no end", f"{name}: {episode.length} rows without terminated or truncated")
    if episode.nulls:
        raise ItemError("null values", f"{name}: {episode.nulls} of {episode.length} rows hold one")
    if episode.length < 2:
        raise ItemError("too short", f"{name}: one row, no transition")
    metadata = {"level": where["level"]}
    if episode.headless:
        metadata["cut_before"] = "the rows before the first one are missing"
    if not ended:
        metadata["cut_after"] = "the rows end before the episode does"
    order = channel_order(options, "rgb")
    return Recording(
        name,
        {level_dataset(where["level"]): upright_rgb(episode.frames, order, options)},
        action=labels.choices(episode.action[:-1], f"{name}: action"),
        reward=labels.floats(episode.reward[:-1], f"{name}: reward"),
        episode_return=labels.total(np.sum(episode.reward, dtype=np.float64), f"{name}: return"),
        split=where["split"],
        metadata=metadata,
    )
