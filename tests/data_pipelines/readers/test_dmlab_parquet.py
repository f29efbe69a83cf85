"""DMLab in parquet rows: every episode whole, none across an end, whatever cuts the files."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.dmlab import parquet, recipe
from data_pipelines.readers.dmlab.actions import TABLES, choose_table
from data_pipelines.readers.recordings import Recording, Skipped
from tests.data_pipelines.readers.dmlab_files import (
    frames_of,
    options,
    read_all,
    rows_of,
    times_of,
    write_level,
    write_parquet,
)

LENGTHS = (5, 9, 2, 14, 4, 3, 1, 6)


@pytest.mark.parametrize("item_bytes", [1, 3000, 1 << 30])
def test_parquet_every_episode_has_one_owner(tmp_path, monkeypatch, item_bytes):
    """Episodes lie across row groups and files; the answer does not depend on the items."""
    monkeypatch.setattr(parquet, "ITEM_BYTES", item_bytes)
    write_level(tmp_path, rows_of(*LENGTHS), edges=(11, 13, 27))
    plan, results = read_all(options(tmp_path))
    assert plan.sources["format"] == "parquet"
    assert len(plan.items) >= 4
    skipped = [result for result in results if isinstance(result, Skipped)]
    kept = [result for result in results if isinstance(result, Recording)]
    assert [skip.reason for skip in skipped] == ["too short"]
    assert [len(frames_of(recording)) for recording in kept] == [n for n in LENGTHS if n > 1]
    for recording, number in zip(kept, (0, 1, 2, 3, 4, 5, 7), strict=True):
        assert times_of(recording) == list(range(LENGTHS[number]))
        assert recording.action.tolist() == [2 + t % 13 for t in range(LENGTHS[number] - 1)]
        assert recording.episode_return == number * LENGTHS[number]
        assert recording.split == "train"
    assert len({recording.name for recording in kept}) == len(kept)
    assert frames_of(kept[0])[2, 8, 8].tolist() == [20, 0, 200]


def test_parquet_end_exactly_at_the_edge_of_an_item(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "ITEM_BYTES", 1)
    write_level(tmp_path, rows_of(4, 4, 4), edges=(8,))
    _, results = read_all(options(tmp_path))
    assert [times_of(recording) for recording in results] == [[0, 1, 2, 3]] * 3


def test_parquet_last_rows_are_an_episode_cut_by_the_end(tmp_path):
    write_level(tmp_path, rows_of(5, 6, ended=False), edges=(7,))
    _, (whole, cut) = read_all(options(tmp_path))
    assert "cut_after" not in whole.metadata
    assert "cut_after" in cut.metadata
    assert times_of(cut) == [0, 1, 2, 3, 4, 5]
    assert len(cut.action) == 5


def test_parquet_nulls_skip_their_episode_only(tmp_path):
    rows = rows_of(5, 6, 7, 4)
    rows[7]["action"] = None
    rows[12]["t"] = None
    rows[19]["truncated"] = None
    write_level(tmp_path, rows, edges=(8,))
    _, results = read_all(options(tmp_path))
    assert [getattr(result, "reason", "kept") for result in results] == [
        "kept",
        "null values",
        "null values",
        "null values",
    ]


def test_parquet_missing_and_damaged_files_break_the_rows(tmp_path):
    write_level(tmp_path, rows_of(6, 6, 6, 6, 6), edges=(8, 14, 20))
    level = tmp_path / "lasertag_one_opponent_large"
    (level / "train-00001-of-00004.parquet").unlink()
    plan, results = read_all(options(tmp_path))
    assert [skip.reason for skip in plan.skipped] == ["missing shard"]
    # rows 0-7, then 14-29: nothing may join row 7 to row 14
    assert [times_of(recording) for recording in results] == [
        [0, 1, 2, 3, 4, 5],
        [0, 1],
        [2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
    ]
    assert "cut_after" in results[1].metadata
    assert "cut_before" in results[2].metadata
    damaged = level / "train-00002-of-00004.parquet"
    damaged.write_bytes(damaged.read_bytes()[:200])
    plan, results = read_all(options(tmp_path))
    assert [skip.reason for skip in plan.skipped] == ["missing shard", "unreadable"]
    assert [times_of(recording) for recording in results][2:] == [[2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]


def test_parquet_rows_without_ends_stay_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "LONGEST", 10)
    write_level(tmp_path, rows_of(5, 12, 6), edges=())
    _, (first, endless, last) = read_all(options(tmp_path))
    assert (endless.reason, times_of(last)) == ("no end", [0, 1, 2, 3, 4, 5])
    assert times_of(first) == [0, 1, 2, 3, 4]


def test_parquet_levels_splits_and_action_table(tmp_path):
    small = [row | {"action": 8} for row in rows_of(4)]
    write_level(tmp_path, rows_of(3, 4), edges=(), level="level_a")
    write_level(tmp_path, small, edges=(), level="level_b", split="test")
    plan, results = read_all(options(tmp_path))
    assert [spec.name for spec in plan.specs] == ["dmlab_level_a", "dmlab_level_b"]
    assert [recording.split for recording in results] == ["train", "train", "test"]
    only, _ = read_all(options(tmp_path, "--levels=level_b"))
    assert [spec.name for spec in only.specs] == ["dmlab_level_b"]
    assert only.specs[0].action.names == TABLES["impala"]  # 8 is the largest: nine actions hold it
    wide, _ = read_all(options(tmp_path, "--levels=level_b", "--actions=dreamerv3"))
    assert wide.specs[0].action.count == 15
    with pytest.raises(DataError, match="level_c"):
        recipe.plan(options(tmp_path, "--levels=level_c"))


@pytest.mark.parametrize("statistics", [True, False])
def test_parquet_action_beyond_the_chosen_table(tmp_path, statistics):
    rows = [row | {"action": 9} for row in rows_of(4)]
    write_parquet(tmp_path / "a" / "train-00000-of-00001.parquet", rows, statistics=statistics)
    assert recipe.plan(options(tmp_path)).specs[0].action.count == 15
    with pytest.raises(DataError, match="hold action 9"):
        recipe.plan(options(tmp_path, "--actions=impala"))
    assert choose_table("auto", 99) == "dreamerv3"  # each episode's own check tells


def test_parquet_without_images_is_refused(tmp_path):
    path = tmp_path / "a" / "train-00000-of-00001.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"action": pa.array([1], pa.int32())}), path)
    with pytest.raises(DataError, match="no observation"):
        recipe.plan(options(tmp_path))
