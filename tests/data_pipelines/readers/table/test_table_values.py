"""Cells as numbers, times and words, whatever a spreadsheet or a logger writes."""

import numpy as np
import pyarrow as pa
import pytest

from data_pipelines.readers.table import values
from data_pipelines.readers.table.values import Writing


def cells(*texts):
    return pa.array(list(texts), pa.string())


def test_numbers_as_people_write_them():
    read = values.numbers(cells("1", " 2.5 ", "+3", "-4e-1", "5.", ".5", "1E2"), Writing())
    assert read.words is None
    assert read.values.tolist() == [1, 2.5, 3, -0.4, 5, 0.5, 100]


def test_missing_and_infinite_are_no_value():
    read = values.numbers(
        cells("", "NA", "nan", "NULL", "-", "ERR", "inf", "-Infinity", "1e39", "7"),
        Writing(missing=("ERR",)),
    )
    assert np.isnan(read.values).tolist() == [True] * 9 + [False]
    assert read.infinite.tolist() == [False] * 6 + [True] * 3 + [False]
    assert read.words is None


def test_a_word_is_named_with_its_row():
    assert values.numbers(cells("1", "2", "open"), Writing()).words == ("open", 2)
    assert values.numbers(cells("1,5"), Writing()).words == ("1,5", 0)
    assert values.numbers(cells("1,5", "2"), Writing(decimal=",")).values.tolist() == [1.5, 2]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None, 3], pa.int64()), [1, None, 3]),
        (pa.array([True, False, None]), [1, 0, None]),
        (pa.array([2**60 + 1], pa.int64()), [float(2**60)]),
        (pa.array([1.5, float("inf")], pa.float32()), [1.5, None]),
        (pa.array(["1", "2", "1"]).dictionary_encode(), [1, 2, 1]),
    ],
)
def test_columns_of_parquet(array, expected):
    read = values.numbers(array, Writing())
    assert read.words is None
    assert [None if np.isnan(v) else v for v in read.values] == expected


def test_a_column_of_dates_is_no_column_of_numbers():
    assert "timestamp" in values.numbers(pa.array([0], pa.timestamp("s")), Writing()).words[0]


def test_times_are_seconds_whatever_they_are_written_in():
    clock = values.times(
        cells("1970-01-01", "1970-01-01 00:00:01.5", "", "1970-01-01T01:00"), Writing()
    )
    assert clock.kind == "clock" and clock.seconds[[0, 1, 3]].tolist() == [0, 1.5, 3600]
    assert np.isnan(clock.seconds[2])
    zoned = values.times(cells("1970-01-01T02:00:00+02:00", "1970-01-01T00:00:01Z"), Writing())
    assert zoned.kind == "utc" and zoned.seconds.tolist() == [0, 1]
    assert values.times(cells("1000", "2500"), Writing(unit="ms")).seconds.tolist() == [1, 2.5]
    stamps = pa.array([10**9, None], pa.timestamp("ns"))
    assert values.times(stamps, Writing()).seconds[0] == 1
    days = values.times(pa.array([1], pa.date32()), Writing())
    assert days.seconds.tolist() == [86400] and days.kind == "clock"
    form = Writing(time_format="%d.%m.%Y %H:%M")
    assert values.times(cells("02.01.1970 00:01"), form).seconds.tolist() == [86460]


@pytest.mark.parametrize(
    ("texts", "writing", "word"),
    [
        (("1970-01-01", "soon"), Writing(), ("soon", 1)),
        (("1970-01-01", "5"), Writing(), ("5", 1)),
        (("1970-01-01", "1970-01-01T00:00:00Z"), Writing(), ("1970-01-01T00:00:00Z", 1)),
        (("01/02/1970 10:00",), Writing(), ("01/02/1970 10:00", 0)),
        (("01.01.1970", "1970-01-01"), Writing(time_format="%d.%m.%Y"), ("1970-01-01", 1)),
    ],
)
def test_what_is_no_time_is_named(texts, writing, word):
    assert values.times(cells(*texts), writing).words == word


def test_categories_that_are_whole_numbers_have_one_word():
    words = values.action_words(cells("1", "1.0", "+1", " auto ", "NA", "1.5"), Writing())
    assert words.to_pylist() == ["1", "1", "1", "auto", None, "1.5"]
    assert values.action_words(pa.array([1.0, None]), Writing()).to_pylist() == ["1", None]
    codes = values.codes(words, ("1", "1.5", "auto"))
    assert [None if np.isnan(code) else code for code in codes] == [0, 0, 0, 2, None, 1]
