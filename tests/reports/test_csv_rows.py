"""Rows as CSV: what is missing is empty, floats have as many digits as asked for."""

import pytest

from flexlam_jax.reports.csv_rows import csv_of

ROWS = [{"name": "a, b", "x": 1 / 3, "k": 2}, {"name": "c", "x": None}]


def test_missing_values_are_empty_and_floats_are_as_long_as_asked():
    assert csv_of(ROWS, ("name", "x", "k"), digits=3) == 'name,x,k\n"a, b",0.333,2\nc,,\n'
    assert csv_of(ROWS[:1], ("name", "x", "k")).endswith(f'"a, b",{1 / 3!r},2\n')


def test_a_key_without_a_column_is_refused():
    with pytest.raises(ValueError, match="'k'"):
        csv_of(ROWS, ("name", "x"))
