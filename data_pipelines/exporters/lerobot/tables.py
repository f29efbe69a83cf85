"""The tables in meta/ of a LeRobot set: tasks, and episodes with their statistics."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from data_pipelines.optional import require

_GROUP = 1000  # episodes of a row group


def write_tasks(path: pathlib.Path, tasks: Sequence[str]) -> None:
    """meta/tasks.parquet as pandas writes it: the texts are the index of the table."""
    pa = require("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "task_index": pa.array(range(len(tasks)), pa.int64()),
            "task": pa.array(tasks, pa.string()),
        }
    )
    column = {"metadata": None, "numpy_type": "int64", "pandas_type": "int64"}
    text = {"metadata": None, "numpy_type": "object", "pandas_type": "unicode"}
    told = {
        "index_columns": ["task"],
        "column_indexes": [text | {"name": None, "field_name": None}],
        "columns": [
            column | {"name": "task_index", "field_name": "task_index"},
            text | {"name": "task", "field_name": "task"},
        ],
        "pandas_version": "2.2.0",
    }
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(told)}), path)


def write_episodes(path: pathlib.Path, entries: Sequence[dict[str, Any]]) -> None:
    """meta/episodes/…: a row per episode, a few in memory at a time."""
    pa = require("pyarrow")
    import pyarrow.parquet as pq

    complete: dict[str, Any] = {}  # Not every episode has statistics of every feature.
    for entry in entries:
        complete |= {key: value for key, value in entry.items() if key not in complete}
    schema = pa.Table.from_pylist([complete]).schema
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, len(entries), _GROUP):
            rows = list(entries[first : first + _GROUP])
            writer.write_table(pa.Table.from_pylist(rows, schema))


def statistics_columns(statistics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """stats/<feature>/<which> -> value, of one episode."""
    return {
        f"stats/{feature}/{key}": value
        for feature, found in statistics.items()
        for key, value in found.items()
    }
