"""The text of a LeRobot episode, from every place that sets keep it in."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.lerobot import recipe
from tests.data_pipelines.readers import lerobot_checks as lc

TEXTS = ("pick up the cup", "push\u2028the \u0085 button")


def metadata(root):
    return [recording.metadata for recording in lc.recordings(root)]


def number_rows(root, columns=lambda row: {"task_index": row["episode_index"] % 2}):
    """Declares the new columns and writes them into the rows."""
    kinds = {}

    def change(rows):
        for row in rows:
            row |= columns(row)
            kinds.update({name: type(value) for name, value in columns(row).items()})

    for file in sorted(root.glob("data/*/*.parquet")):
        lc.change_table(file, change)
    dtypes = {str: "string", int: "int64"}
    lc.change_info(
        root,
        lambda info: info["features"].update(
            {name: {"dtype": dtypes[kind], "shape": [1]} for name, kind in kinds.items()}
        ),
    )


def write_tasks(root, column="__index_level_0__"):
    table = pa.table({"task_index": [0, 1], column: list(TEXTS)})
    pa.parquet.write_table(table, root / "meta/tasks.parquet")


def forget_tasks(root):
    if lc.episode_table(root).exists():
        lc.drop_column(lc.episode_table(root), "tasks")
    else:
        path = root / "meta/episodes.jsonl"
        lines = [json.loads(line) for line in path.read_text().split("\n") if line]
        path.write_text("".join(json.dumps(line | {"tasks": []}) + "\n" for line in lines))


@pytest.mark.parametrize("column", ["__index_level_0__", "task", "index"])
def test_numbers_of_tasks(tmp_path, column):
    """Without `tasks` in the table of episodes, as the published LIBERO set."""
    root = lc.write(tmp_path)
    forget_tasks(root)
    number_rows(root)
    write_tasks(root, column)
    found = [entry["language"] for entry in metadata(root)]
    assert found == [TEXTS[0], TEXTS[1], TEXTS[0]]


def test_numbers_of_tasks_in_json_lines(tmp_path):
    root = lc.write(tmp_path, version="v2.1")
    forget_tasks(root)
    number_rows(root)
    lines = [{"task_index": i, "task": text} for i, text in enumerate(TEXTS)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (root / "meta/tasks.jsonl").write_text("\ufeff" + text)
    assert [entry["language"] for entry in metadata(root)] == [TEXTS[0], TEXTS[1], TEXTS[0]]


@pytest.mark.parametrize(
    "columns",
    [
        lambda row: {"language_instruction": TEXTS[row["episode_index"] % 2]},
        lambda row: {"annotation.human.action.task_description": row["episode_index"] % 2},
    ],
)
def test_language_in_the_rows(tmp_path, columns):
    root = lc.write(tmp_path)
    forget_tasks(root)
    number_rows(root, columns)
    write_tasks(root)
    assert [entry["language"] for entry in metadata(root)] == [TEXTS[0], TEXTS[1], TEXTS[0]]


def test_all_texts_are_kept_and_the_first_one_that_is_not_empty_counts(tmp_path):
    root = lc.write(tmp_path)
    lc.change_table(lc.episode_table(root), lambda rows: rows[0].update(tasks=["", "a", "b", "a"]))
    lc.change_table(lc.episode_table(root), lambda rows: rows[1].update(tasks=[" "]))
    number_rows(root)
    number_rows(root, lambda row: {"language_instruction": ["", "c"][row["frame_index"] % 2]})
    write_tasks(root)
    first, second, third = metadata(root)
    assert first["language"] == "a" and first["tasks"] == ["a", "b", "c"]
    assert second["language"] == TEXTS[1] and second["tasks"] == [TEXTS[1], "c"]
    assert third["language"] == "open the drawer"


def test_unknown_texts_are_counted(tmp_path):
    root = lc.write(tmp_path)
    assert recipe.plan(lc.options(root)).sources["episodes_without_text"] == 0
    lc.change_table(lc.episode_table(root), lambda rows: rows[1].update(tasks=[]))
    assert recipe.plan(lc.options(root)).sources["episodes_without_text"] == 1
    first, second, _ = metadata(root)
    assert first["language"] == "open the drawer" and second["language"] == ""


def test_table_that_is_needed_and_damaged(tmp_path):
    root = lc.write(tmp_path)
    number_rows(root)
    (root / "meta/tasks.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert metadata(root)[0]["language"] == "open the drawer"  # nothing was looked up
    forget_tasks(root)
    with pytest.raises(DataError, match="git lfs pull"):
        recipe.plan(lc.options(root))
    table = pa.table({"task_index": ["x"], "task": ["a"]})
    pa.parquet.write_table(table, root / "meta/tasks.parquet")
    with pytest.raises(DataError, match="tasks.parquet: task_index 'x'"):
        recipe.plan(lc.options(root))
