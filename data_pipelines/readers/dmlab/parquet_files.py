"""The consecutive rows of one level and split over its parquet files."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.optional import require
from data_pipelines.readers.paths import natural
from data_pipelines.recordings import ItemError

COLUMNS = ("observation", "action", "reward", "terminated", "truncated")
ENDS = ("terminated", "truncated")
_NUMBERED = re.compile(r"-(\d+)-of-(\d+)")

Position = tuple[int, int]  # file, row group


class SplitRows:
    """Files in natural order, opened when needed. A file that is missing from the numbering, or
    that cannot be read, breaks the run of rows: no episode goes on behind it."""

    def __init__(self, folder: pathlib.Path, split: str):
        self.files = sorted(folder.glob(f"{split}-*.parquet"), key=natural)
        self._opened: dict[int, Any] = {}

    def open(self, index: int):
        """pyarrow.parquet.ParquetFile; raises ItemError if it is none or lacks columns."""
        if index not in self._opened:
            if len(self._opened) > 1:  # reading goes forward, from one file to the next
                self._opened.pop(min(self._opened)).close()
            self._opened[index] = _open(self.files[index])
        return self._opened[index]

    def joined(self, index: int) -> bool:
        """Whether the rows of file `index` go on where those of file `index - 1` end."""
        if index == 0 or index >= len(self.files):
            return False
        numbers = [_NUMBERED.search(self.files[i].name) for i in (index - 1, index)]
        if all(numbers) and int(numbers[1][1]) != int(numbers[0][1]) + 1:
            return False
        try:
            self.open(index - 1)
            self.open(index)
        except ItemError:
            return False
        return True

    def missing(self) -> list[int]:
        """Numbers that the file names announce (`-00003-of-00010`) and that are not there."""
        found = [match for path in self.files if (match := _NUMBERED.search(path.name))]
        if not found:
            return []
        return sorted(set(range(int(found[0][2]))) - {int(match[1]) for match in found})

    def positions(self, start: Position) -> Iterator[Position]:
        """The row groups from `start` on, until the run of rows breaks."""
        file, group = start
        while True:
            groups = self.open(file).metadata.num_row_groups
            yield from ((file, g) for g in range(group, groups))
            if not self.joined(file + 1):
                return
            file, group = file + 1, 0

    def read(self, position: Position, columns: tuple[str, ...] = COLUMNS):
        """pyarrow.Table of a row group; raises ItemError if its pages are damaged."""
        file, group = position
        try:
            return self.open(file).read_row_group(group, columns=list(columns))
        except (OSError, require("pyarrow").ArrowInvalid) as error:
            where = f"{self.files[file]}, row group {group}"
            raise ItemError("corrupt file", f"{where}: {error}") from None

    def starts_episode(self, position: Position) -> bool:
        """Whether the row before this row group ended an episode, or there is none."""
        file, group = position
        while True:
            if group == 0:
                if not self.joined(file):
                    return True
                file, group = file - 1, self.open(file - 1).metadata.num_row_groups
                continue
            group -= 1
            if self.open(file).metadata.row_group(group).num_rows:
                try:
                    return bool(end_flags(self.read((file, group), ENDS))[-1])
                except ItemError:
                    return False  # unknown: wait for an end that can be read

    def is_headless(self, position: Position) -> bool:
        """Whether rows are missing before this row group, so that an episode may begin there only
        because its first part is missing."""
        file, group = position
        if group or self.joined(file):
            return False
        number = _NUMBERED.search(self.files[file].name)
        return file > 0 or bool(number and int(number[1]))


def _open(path: pathlib.Path):
    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(path)
    except (OSError, arrow.ArrowInvalid) as error:
        raise ItemError("corrupt file", f"{path}: {error}") from None
    schema = file.schema_arrow
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        held = ", ".join(schema.names)
        raise ItemError("missing columns", f"{path}: no {', '.join(missing)}; it holds {held}")
    cell = schema.field("observation").type
    if not arrow.types.is_struct(cell) or cell.get_field_index("bytes") < 0:
        raise ItemError("missing columns", f"{path}: observation is {cell}, not {{bytes, path}}")
    return file


def end_flags(table) -> np.ndarray:
    """bool (rows,): the row ends an episode. A null does not."""
    flags = [table.column(name).fill_null(False).to_numpy() for name in ENDS]
    return np.logical_or(*flags).astype(bool)


def largest_action(rows: SplitRows, index: int) -> int:
    """The largest action in a file, from the statistics in its metadata where they are."""
    file = rows.open(index)
    largest = -1
    for group in range(file.metadata.num_row_groups):
        leaf = _leaf(file.metadata.row_group(group))
        statistics = leaf.statistics if leaf is not None else None
        if statistics is not None and statistics.has_min_max:
            largest = max(largest, int(statistics.max))
        else:
            values = rows.read((index, group), ("action",)).column(0).drop_null()
            largest = max([largest, *values.unique().to_pylist()])
    return largest


def _leaf(group):
    """The column chunk of `action` (columns of nested fields shift its number)."""
    for index in range(group.num_columns):
        if group.column(index).path_in_schema == "action":
            return group.column(index)
    return None
