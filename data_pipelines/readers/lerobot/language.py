"""What an episode of a LeRobot set is about, from whatever place the set keeps it in.

In this order: `tasks` in the episode table; `task_index` of its rows, looked up in `meta/tasks`;
columns of texts in the rows (`language_instruction`), or of numbers of tasks
(`annotation.human.task_description`), where info.json declares them. An episode may have several
texts, from one place or from many: all are kept, the first is its language.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.readers.files import parquet_tables
from data_pipelines.readers.lerobot.info import LeRobot, meta_file
from data_pipelines.readers.lerobot.rows import iter_rows
from data_pipelines.typed_json import read_json_lines

_TASK_INDEX = "task_index"
_TEXT_NAMES = re.compile(r"language|instruction|task|annotation")
_NUMBER_NAMES = re.compile(r"annotation\..*(task|instruction|language)")


def episode_texts(data: LeRobot, episode: dict[str, Any]) -> list[str]:
    """The texts of an episode, each once; [] if the set has none for it.

    Raises DataError if a table that is needed cannot be read, ItemError as `iter_rows` does.
    """
    columns = _language_columns(data)
    found = list(_texts(data, episode["tasks"]))
    if not found and _TASK_INDEX in data.features:
        columns.insert(0, _TASK_INDEX)
    if columns:
        rows = list(iter_rows(data, episode, columns, nullable=True))
        for name in columns:
            found += _texts(data, list(dict.fromkeys(_plain(row[name]) for row in rows)))
    return list(dict.fromkeys(found))


def language_fields(texts: Sequence[str]) -> dict[str, Any]:
    """The fields of a recording's metadata: `language`, and `tasks` where there are several."""
    fields: dict[str, Any] = {"language": texts[0] if texts else ""}
    return fields | ({"tasks": list(texts)} if len(texts) > 1 else {})


def without_text(data: LeRobot, episodes: Sequence[dict[str, Any]]) -> int:
    """How many episodes cannot have a text, as far as metadata show; no row is opened.

    Raises DataError if the table of tasks is needed and cannot be read.
    """
    if [name for name in _language_columns(data) if data.features[name].dtype == "string"]:
        return 0
    empty = [entry for entry in episodes if not any(str(task).strip() for task in entry["tasks"])]
    numbered = _TASK_INDEX in data.features or _language_columns(data)
    return len(empty) if empty and not (numbered and read_tasks(data)) else 0


def read_tasks(data: LeRobot) -> dict[int, str]:
    """`meta/tasks.parquet` or `meta/tasks.jsonl`: number -> text; {} if there is neither."""
    for name, expected, read in (
        ("tasks.parquet", "a Parquet file", _rows_of_parquet),
        ("tasks.jsonl", "JSON", lambda path: read_json_lines(path, dict[str, Any])),
    ):
        if not os.path.lexists(data.root / "meta" / name):
            continue
        path = meta_file(data.root, name, expected, data.follow_links)
        tasks = {}
        for row in read(path):
            number, text = row.get(_TASK_INDEX), row.get("task")
            if type(number) is not int or not isinstance(text, str):
                raise DataError(
                    f"{path}: task_index {str(number)[:40]!r}, task {str(text)[:40]!r}; expected a "
                    "number and a text"
                )
            tasks[number] = text
        return tasks
    return {}


def _rows_of_parquet(path) -> Iterator[dict[str, Any]]:
    """{task_index, task} of each row: pandas writes the texts as the index of the table."""
    rows = parquet_tables.read_dicts(path)
    for row in rows:
        texts = [name for name, value in row.items() if isinstance(value, str)]
        name = next((n for n in ("task", "__index_level_0__", *texts) if n in texts), "")
        yield {_TASK_INDEX: row.get(_TASK_INDEX), "task": row.get(name)}


def _language_columns(data: LeRobot) -> list[str]:
    """Declared features that hold texts or numbers of tasks, but task_index itself."""
    return [
        name
        for name, feature in data.features.items()
        if (feature.dtype == "string" and _TEXT_NAMES.search(name))
        or (feature.dtype.startswith("int") and _NUMBER_NAMES.search(name))
    ]


def _plain(cell: Any) -> str | int | None:
    """A text or a number, perhaps in a list of one; None for anything else."""
    cell = cell[0] if isinstance(cell, list) and cell else cell
    return cell if type(cell) in (str, int) else None


def _texts(data: LeRobot, values: Sequence[Any]) -> Iterator[str]:
    """Texts, or numbers of tasks, as texts that are not empty."""
    tasks = read_tasks(data) if any(type(value) is int for value in values) else {}
    for value in values:
        text = tasks.get(value) if type(value) is int else value
        if isinstance(text, str) and text.strip():
            yield text
