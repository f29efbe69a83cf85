"""Which rows of a table make episodes: every row is in one, or lost under a reason."""

import numpy as np
import pytest

from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.table.stretches import (
    BETWEEN,
    HOLES,
    REPEATED,
    SHORT,
    UNPLACED,
    Rules,
    layout,
    steps,
)

NAN = np.nan


def rules(**changes):
    default = {"gap": 1.5, "backward": "refuse", "fill": 0, "shortest": 2, "longest": 1000}
    return Rules(**default | changes)


def laid(seconds, complete=None, series=None, **changes):
    count = len(seconds if seconds is not None else complete)
    complete = np.ones(count, bool) if complete is None else np.array(complete, bool)
    seconds = None if seconds is None else np.array(seconds, float)
    series = None if series is None else np.array(series, np.int32)
    return layout(seconds, series, complete, rules(**changes), "a.csv")


def rows(found):
    return [found.order[piece.start : piece.stop].tolist() for piece in found.stretches]


def lost(found):
    return {reason: values.tolist() for reason, values in found.lost.items()}


def test_a_step_longer_than_the_gap_begins_an_episode():
    found = laid([0, 1, 2, 4, 5, 6.4, 7.4])
    assert rows(found) == [[0, 1, 2], [3, 4, 5, 6]] and found.gaps == 1 and not found.lost


def test_rows_without_a_value_split_also_where_there_are_no_times():
    found = laid(None, [1, 1, 0, 1, 1, 0, 1])
    assert rows(found) == [[0, 1], [3, 4]]
    assert lost(found) == {HOLES: [2, 5], SHORT: [6]}


def test_a_missing_row_splits_even_where_the_gap_allows_its_step():
    assert rows(laid([0, 1, 2, 3, 4], [1, 1, 0, 1, 1], gap=10)) == [[0, 1], [3, 4]]


def test_short_runs_are_filled_from_the_row_before_and_never_over_a_gap():
    complete = [0, 1, 0, 1, 0, 0, 1, 1, 0, 1]
    found = laid([0, 1, 2, 3, 4, 5, 6, 7, 60, 61], complete, fill=1)
    assert rows(found) == [[1, 2, 3], [6, 7]]
    assert found.filled[: len(found.order)].tolist() == [False, True, False, False, False, False]
    assert lost(found) == {HOLES: [0, 4, 5, 8], SHORT: [9]}


@pytest.mark.parametrize(
    ("backward", "expected"),
    [("sort", [[0, 2, 1, 3]]), ("split", [[0, 1], [2, 3]])],
)
def test_times_that_run_back(backward, expected):
    seconds = [0, 2, 1, 3] if backward == "sort" else [0, 1, 0, 1]
    found = laid(seconds, backward=backward)
    assert rows(found) == expected and found.moved == 1
    with pytest.raises(ItemError, match=r"1 times run back, the first in row 3 .*--backward=sort"):
        laid(seconds)


def test_of_rows_at_one_time_the_first_is_kept():
    seconds = [*range(10), 9, *range(10, 20)]
    found = laid(seconds)
    assert rows(found) == [[*range(10), *range(11, 21)]] and lost(found) == {REPEATED: [10]}


def test_many_repeated_times_mean_that_a_column_of_series_is_missing():
    seconds, series = np.repeat(np.arange(10), 2), np.tile([0, 1], 10)
    with pytest.raises(ItemError, match=r"10 of 20 rows .*row 2; .*--episode"):
        laid(seconds)
    found = laid(seconds, series=series)
    assert rows(found) == [list(range(0, 20, 2)), list(range(1, 20, 2))] and not found.lost


def test_rows_without_time_or_series_are_named():
    found = laid([0, NAN, 1, 2, 3], series=[0, 0, 0, -1, 0], gap=3)
    assert rows(found) == [[0, 2, 4]] and lost(found) == {UNPLACED: [1, 3]}


def test_long_stretches_are_cut_where_no_row_is_filled():
    complete = np.ones(20, bool)
    complete[10] = False
    found = laid(range(20), complete, longest=10, fill=1)
    assert rows(found) == [list(range(11)), list(range(11, 20))]


def test_blocks_of_time_have_a_margin_before_each():
    found = laid(range(100), blocks=True, margin=3)
    assert [piece.split for piece in found.stretches] == ["train", "validation", "test"]
    assert rows(found) == [list(range(77)), list(range(80, 87)), list(range(90, 100))]
    assert lost(found) == {BETWEEN: [77, 78, 79, 87, 88, 89]}


def test_blocks_begin_with_a_row_of_their_own():
    complete = np.ones(100, bool)
    complete[80] = False
    found = laid(range(100), complete, blocks=True, margin=3, fill=1)
    assert rows(found)[1] == list(range(81, 87)) and 80 in lost(found)[BETWEEN]


@pytest.mark.parametrize("seed", range(30))
def test_no_row_is_lost_in_silence_and_no_stretch_has_a_break(seed):
    """Random tables: a partition of the rows, in order of time, of one series, without long steps."""
    rng = np.random.default_rng(seed)
    count = 300
    seconds = np.cumsum(rng.choice([1, 1, 1, 1, 1, 5, 0], count, p=[0.2] * 4 + [0.1, 0.07, 0.03]))
    seconds = seconds.astype(float)
    if seed % 3 == 0:
        seconds = rng.permutation(seconds)
    seconds[rng.random(count) < 0.02] = NAN
    series = rng.integers(-1, 3, count).astype(np.int32) if seed % 2 else None
    complete = rng.random(count) > 0.05
    chosen = rules(
        backward="sort",
        fill=seed % 4,
        gap=8.0 if seed % 2 else 1.5,
        blocks=seed % 5 == 0,
        margin=5,
        longest=40,
        shortest=3,
    )
    found = layout(seconds, series, complete, chosen, "a.csv")
    kept = np.concatenate([np.zeros(0, int), *[np.array(part) for part in rows(found)]])
    parts = [kept, *found.lost.values()]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(count))
    assert len(found.stretches) > 1
    for piece, part in zip(found.stretches, rows(found), strict=True):
        assert 3 <= len(part) <= 40 + 4 and complete[part[0]]
        between = np.diff(seconds[part])
        assert (between > 0).all() and (between <= chosen.gap).all()
        assert series is None or set(series[part]) == {piece.series}
        held = found.filled[piece.start : piece.stop]
        assert np.array_equal(held, ~complete[part])
        runs = np.split(held, np.flatnonzero(np.diff(held)) + 1)
        assert max(run.sum() for run in runs) <= chosen.fill


def test_steps_are_taken_within_series():
    seconds, series = np.array([0, 100, 1, 110, 2.5, NAN]), np.array([0, 1, 0, 1, 0, 0], np.int32)
    assert sorted(steps(seconds, series)) == [1, 1.5, 10]
    assert steps(np.array([3.0, 2, 4]), None).tolist() == [2]
