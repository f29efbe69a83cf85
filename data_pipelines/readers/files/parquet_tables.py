"""Parquet files of strangers as rows: a few at a time, and never more than fits into memory.

What a file says about itself is judged before anything is unpacked, and what came out of it before
it becomes Python objects: a few kilobytes of Parquet can hold billions of equal values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_pipelines.optional import require
from data_pipelines.readers.files import opening
from data_pipelines.readers.recordings import ItemError

BATCH_ROWS = 64
BATCH_BYTES = 1 << 28  # unpacked, unless one row alone is larger
MAX_COLUMN_BYTES = 1 << 32  # of one column in one row group, unpacked
MAX_COLUMN_VALUES = 1 << 28  # likewise, lists counted by their elements
MAX_ROW_VALUES = 1 << 16  # of one row in all its columns
MAX_TABLE_BYTES = 1 << 30  # of a table that is read as a whole
MAX_TABLE_ROWS = 10_000_000


def open_parquet(path: str | os.PathLike) -> Any:
    """pyarrow.parquet.ParquetFile; raises ItemError as opening.unreadable words it."""
    require("pyarrow")
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise opening.unreadable(path, error, "a Parquet file") from error


def iter_dicts(
    table: Any,
    path: str | os.PathLike,
    columns: Sequence[str],
    row_groups: Sequence[int] | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of an opened file (of some row groups), column -> plain value.

    path: names the file in errors. Raises ItemError 'too large', or 'unreadable' for damaged pages.
    """
    for batch in iter_batches(table, path, columns, row_groups):
        yield from batch.to_pylist()


def read_dicts(
    path: str | os.PathLike, keep: Callable[[str], bool] = lambda name: True
) -> list[dict[str, Any]]:
    """All rows of a small table (metadata), those columns whose names `keep` wants.

    Raises ItemError as `iter_dicts` does.
    """
    table = open_parquet(path)
    if table.metadata.num_rows > MAX_TABLE_ROWS:
        raise ItemError("too large", f"{path}: {table.metadata.num_rows} rows")
    rows: list[dict[str, Any]] = []
    unpacked = 0
    for batch in iter_batches(table, path, list(filter(keep, table.schema_arrow.names)), None):
        unpacked += batch.nbytes
        if unpacked > MAX_TABLE_BYTES:
            raise ItemError("too large", f"{path}: more than {MAX_TABLE_BYTES} bytes unpacked")
        rows += batch.to_pylist()
    return rows


def iter_batches(
    table: Any,
    path: str | os.PathLike,
    columns: Sequence[str],
    row_groups: Sequence[int] | None,
    *,
    rows: int = BATCH_ROWS,
) -> Iterator:
    """As `iter_dicts`, but pyarrow.RecordBatches of a few rows each, `rows` at most."""
    groups = range(table.num_row_groups) if row_groups is None else row_groups
    for group in groups:
        largest = _largest_column(table.metadata.row_group(group), path, columns)
        # A column is an upper bound of its largest cell, which a dictionary can repeat in each row.
        most = min(rows, max(1, BATCH_BYTES // max(1, largest)))
        try:
            for batch in table.iter_batches(most, row_groups=[group], columns=list(columns)):
                values = sum(_leaves(column) for column in batch.columns)
                if values > MAX_ROW_VALUES * max(1, batch.num_rows):
                    raise ItemError(
                        "too large", f"{path}: {values} values in {batch.num_rows} rows"
                    )
                yield batch
        except (OSError, ValueError) as error:
            if isinstance(error, ItemError):
                raise
            raise opening.unreadable(path, error, "a Parquet file") from error


def _largest_column(group, path, columns: Sequence[str]) -> int:
    """Bytes of the largest of `columns` in a row group, unpacked; raises ItemError 'too large'."""
    largest, wanted = 0, tuple(columns)
    for number in range(group.num_columns):
        column = group.column(number)
        name = column.path_in_schema
        if not any(name == top or name.startswith(top + ".") for top in wanted):
            continue
        size, values = column.total_uncompressed_size, column.num_values
        if size > MAX_COLUMN_BYTES or values > MAX_COLUMN_VALUES:
            raise ItemError(
                "too large",
                f"{path}: column {name} has {values} values, {size} bytes in a row group",
            )
        largest = max(largest, size)
    return largest


def _leaves(array) -> int:
    """How many Python objects an Arrow array would become, about."""
    import pyarrow.types as types

    while (
        types.is_list(array.type)
        or types.is_large_list(array.type)
        or types.is_fixed_size_list(array.type)
    ):
        array = array.flatten()
    return len(array)
