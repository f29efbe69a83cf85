"""The tables in meta/ of a LeRobot set: tasks, and episodes with their statistics."""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from data_pipelines.optional import require


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


def write_episodes(
    path: pathlib.Path, groups: Iterable[list[dict[str, Any]]], statistics: dict[str, Any]
) -> None:
    """meta/episodes/…: a row per episode, a row group for each list of rows.

    statistics: of all episodes together; not every episode has those of every feature.
    """
    pa = require("pyarrow")
    import pyarrow.parquet as pq

    groups = iter(groups)
    rows = next(groups)
    schema = pa.Table.from_pylist([rows[0] | statistics_columns(statistics)]).schema
    with pq.ParquetWriter(path, schema) as writer:
        for group in itertools.chain([rows], groups):
            writer.write_table(pa.Table.from_pylist(group, schema))


def statistics_columns(statistics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """stats/<feature>/<which> -> value, of one episode."""
    return {
        f"stats/{feature}/{key}": value
        for feature, found in statistics.items()
        for key, value in found.items()
    }
