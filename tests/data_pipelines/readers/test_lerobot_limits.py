"""LeRobot sets that say impossible things, or unpack to more than fits: one message each."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers import lerobot
from data_pipelines.readers.files import parquet_tables
from data_pipelines.readers.lerobot import recipe
from data_pipelines.readers.recordings import ItemError
from tests.data_pipelines.readers import lerobot_checks as lc

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return lc.write(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"fps": 0}, "info.json: fps is 0"),
        ({"fps": float("nan")}, "info.json: fps is nan"),
        ({"fps": 1e9}, "info.json: fps is 1000000000"),
        ({"fps": "fast"}, "fps.*'fast'"),
        ({"fps": None}, "fps"),
        ({"chunks_size": 0}, "chunks_size is 0"),
        ({"chunks_size": [1]}, "chunks_size"),
        ({"codebase_version": "v3.1"}, "'v3.1'; versions v2.0, v2.1, v3.0 are read.*newer"),
        ({"codebase_version": None}, "codebase_version"),
        ({"features": []}, "features"),
        ({"features": {"action": 3}}, "features"),
        ({"features": {"action": {"dtype": "float32", "shape": [10**12]}}}, "action.shape"),
        ({"features": {"action": {"dtype": "float32", "shape": [-1]}}}, "features.action.shape"),
        ({"features": {"action": {"dtype": "float32", "shape": "x"}}}, "features"),
        ({"data_path": 5}, "data_path"),
        ({"data_path": "../../etc/passwd"}, "no episode can be used.*lies outside"),
        ({"data_path": "/etc/passwd"}, "no episode can be used.*lies outside"),
        ({"data_path": "{x}"}, "unknown field 'x'"),
        ({"splits": {"train": "0:2", "test": "all"}}, "splits.test is 'all'"),
        ({"splits": 5}, "splits"),
        ("{", "info.json: is not JSON"),
        ("[" * 100_000, "info.json: is not JSON"),
        ("[1]", "info.json"),
        (POINTER, "git lfs pull"),
        ("<!DOCTYPE html><html>", "web page"),
        ("", "zero bytes"),
    ],
)
def test_info_that_cannot_be(good, change, words):
    path = good / "meta" / "info.json"
    before = path.read_text()
    try:
        text = change if isinstance(change, str) else json.dumps(json.loads(before) | change)
        path.write_text(text)
        with pytest.raises(DataError, match=words) as caught:
            recipe.plan(lc.options(good))
        assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)
    finally:
        path.write_text(before)


def test_odd_json_that_is_harmless(tmp_path):
    """A mark of byte order, and numbers that are none where nobody looks."""
    root = lc.write(tmp_path, version="v2.1")
    lc.change_info(root, lambda info: info.update(note=float("nan")))
    for name in ("info.json", "episodes.jsonl"):
        path = root / "meta" / name
        path.write_text("\ufeff" + path.read_text())
    lines = (root / "meta/episodes.jsonl").read_text().replace('"length"', '"x": NaN, "length"')
    (root / "meta/episodes.jsonl").write_text(lines.replace("\n", "\r\n\r\n"))
    assert len(lc.recordings(root)) == 3


@pytest.mark.parametrize(
    "field, value",
    [
        ("episode_index", -1),
        ("length", -1),
        ("length", 10**15),
        ("length", "many"),
        ("length", None),
        ("dataset_from_index", -2),
        ("data/file_index", "../x"),
        ("data/chunk_index", 0.5),
    ],
)
def test_entry_of_an_episode_that_cannot_be(tmp_path, field, value):
    root = lc.write(tmp_path)
    lc.set_column(lc.episode_table(root), field, value)
    with pytest.raises(DataError, match=f"has {field} = "):
        recipe.plan(lc.options(root))


@pytest.mark.parametrize(
    "field, value",
    [
        ("from_timestamp", float("nan")),
        ("from_timestamp", -1.0),
        ("to_timestamp", 1e300),
        ("chunk_index", None),
    ],
)
def test_place_of_a_video_that_cannot_be(tmp_path, field, value):
    """Costs the one episode."""
    root = lc.write(tmp_path, video=True)
    key = f"videos/{lc.TOP}/{field}"
    lc.change_table(lc.episode_table(root), lambda rows: rows[1].update({key: value}))
    plan = recipe.plan(lc.options(root))
    assert len(plan.items) == 2
    (entry,) = plan.skipped
    assert (entry.name, entry.reason) == ("episode_000001", "no images") and lc.TOP in entry.detail


@pytest.mark.parametrize("what", ["rows", "episodes", "video", "json lines"])
def test_pointers_of_git_lfs(tmp_path, what):
    root = lc.write(tmp_path, video=True, version="v2.1" if what == "json lines" else "v3.0")
    file = {
        "rows": lc.row_table(root),
        "episodes": lc.episode_table(root),
        "video": root / f"videos/{lc.TOP}/chunk-000/file-000.mp4",
        "json lines": root / "meta/episodes.jsonl",
    }[what]
    file.write_text(POINTER)
    with pytest.raises(ItemError, match="git lfs pull") as caught:
        list(lc.recordings(root)[0].frames["my_set"])
    assert caught.value.reason == "git-lfs pointer"


def test_files_of_a_mac(tmp_path):
    root = lc.write(tmp_path)
    for folder in (root / "meta/episodes/chunk-000", root / "data/chunk-000", root / "meta"):
        (folder / "._file-000.parquet").write_bytes(b"\0\5\x16\7" + bytes(300))
        (folder / ".DS_Store").write_bytes(bytes(30))
    assert len(lc.recordings(root)) == 3


def test_few_bytes_of_parquet_that_unpack_to_many(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"

    def reason(read):
        with pytest.raises(ItemError, match="a.parquet") as caught:
            read()
        return caught.value.reason

    def read_rows():
        return list(parquet_tables.iter_dicts(parquet_tables.open_parquet(path), path, ["a"]))

    values = pa.array(np.zeros(parquet_tables.MAX_ROW_VALUES + 1, np.float32))
    rows = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    pa.parquet.write_table(pa.table({"a": rows}), path)
    assert path.stat().st_size < 2000 and reason(read_rows) == "too large"

    monkeypatch.setattr(parquet_tables, "MAX_TABLE_BYTES", 1 << 20)
    pa.parquet.write_table(pa.table({"a": ["x" * 10_000] * 500}), path)
    assert path.stat().st_size < 30_000
    assert reason(lambda: parquet_tables.read_dicts(path)) == "too large"
    monkeypatch.setattr(parquet_tables, "MAX_TABLE_ROWS", 499)
    assert reason(lambda: parquet_tables.read_dicts(path)) == "too large"
    assert len(read_rows()) == 500  # a row at a time is no problem
    monkeypatch.setattr(parquet_tables, "MAX_COLUMN_BYTES", 5_000)
    assert reason(read_rows) == "too large"


def test_batches_follow_the_size_of_cells(tmp_path, monkeypatch):
    """A dictionary may repeat one large cell in every row."""
    monkeypatch.setattr(parquet_tables, "BATCH_BYTES", 1 << 20)
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"a": [b"x" * 300_000] * 20}), path)
    table = parquet_tables.open_parquet(path)
    sizes = [batch.num_rows for batch in parquet_tables.iter_batches(table, path, ["a"], None)]
    assert sum(sizes) == 20 and max(sizes) <= 3


def test_damaged_pages_and_odd_columns(tmp_path):
    root = lc.write(tmp_path)
    data = lerobot.open_lerobot(root)
    (episode, *_) = lerobot.list_episodes(data, [lc.TOP])
    path = lc.row_table(root)
    lc.set_column(path, "episode_index", [0])
    with pytest.raises(ItemError) as caught:
        lerobot.read_columns(data, episode, ["action"])
    assert caught.value.reason == "episode boundary"
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(ItemError, match="file-000.parquet") as caught:
        lerobot.read_columns(data, episode, ["action"])
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("cell", [{"bytes": None, "path": None}, {"bytes": b"x" * 50, "path": ""}])
def test_pictures_that_are_none(tmp_path, cell):
    def spoil(rows):
        for row in rows:
            row[lc.TOP] = cell
        return rows

    root = lc.write(tmp_path, changes=spoil)
    with pytest.raises(ItemError, match="observation.images.top"):
        list(lc.recordings(root)[0].frames["my_set"])
