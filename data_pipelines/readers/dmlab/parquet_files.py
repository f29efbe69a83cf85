"""The consecutive rows of one level and split over its parquet files."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.optional import require
from data_pipelines.readers.files.listing import list_files
from data_pipelines.readers.files.parquet_tables import iter_batches, open_parquet
from data_pipelines.readers.recordings import ItemError

COLUMNS = ("observation", "action", "reward", "terminated", "truncated")
ENDS = ("terminated", "truncated")
_NUMBERED = re.compile(r"-(\d{1,9})-of-(\d{1,5})(?!\d)")

Position = tuple[int, int]  # file, row group


class SplitRows:
    """Files in natural order, opened when needed. A file that is missing from the numbering, or
    that cannot be read, breaks the run of rows: no episode goes on behind it."""

    def __init__(self, folder: pathlib.Path, split: str, *, follow_links: bool = True):
        self.files = list_files(
            folder,
            named=lambda name: is_rows(name, split),
            follow_links=follow_links,
            deep=False,
        ).files
        self._opened: dict[int, Any] = {}

    def open(self, index: int) -> Any:
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

    def read(self, position: Position, columns: tuple[str, ...] = COLUMNS) -> Iterator:
        """pyarrow.RecordBatches of a row group, a few rows each; raises ItemError if its pages are
        damaged."""
        file, group = position
        return iter_batches(self.open(file), self.files[file], columns, [group])

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
                    *_, last = self.read((file, group), ENDS)
                    return bool(end_flags(last)[-1])
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


def is_rows(name: str, split: str) -> bool:
    """Whether a file of this name holds rows of the split, whatever the case of its suffix."""
    return name.startswith(f"{split}-") and name.lower().endswith(".parquet")


def _open(path: pathlib.Path):
    arrow, file = require("pyarrow"), open_parquet(path)
    schema = file.schema_arrow
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        held = ", ".join(schema.names)
        raise ItemError("missing columns", f"{path}: no {', '.join(missing)}; it holds {held}")
    cell = schema.field("observation").type
    if not arrow.types.is_struct(cell) or cell.get_field_index("bytes") < 0:
        raise ItemError("missing columns", f"{path}: observation is {cell}, not {{bytes, path}}")
    _check_types(path, schema)
    return file


def _check_types(path: pathlib.Path, schema) -> None:
    types = require("pyarrow").types
    wanted = {"action": types.is_integer, "reward": types.is_floating}
    for name, test in (wanted | dict.fromkeys(ENDS, types.is_boolean)).items():
        if not test(schema.field(name).type):
            raise ItemError("wrong columns", f"{path}: column {name} is {schema.field(name).type}")


def end_flags(batch: Any) -> np.ndarray:
    """bool (rows,): the row ends an episode. A null does not."""
    flags = [batch.column(name).fill_null(False).to_numpy(zero_copy_only=False) for name in ENDS]
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
            for batch in rows.read((index, group), ("action",)):
                largest = max([largest, *batch.column(0).drop_null().to_pylist()])
    return largest


def _leaf(group):
    """The column chunk of `action` (columns of nested fields shift its number)."""
    for index in range(group.num_columns):
        if group.column(index).path_in_schema == "action":
            return group.column(index)
    return None
