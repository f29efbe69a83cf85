"""What a study measured is measured once, for as long as the same is asked for."""

import json

import pytest

from experiments.kept_rows import kept_rows
from flexlam_jax.errors import UserError


def test_rows_are_measured_once_and_again_where_something_else_is_asked(tmp_path):
    path, calls = tmp_path / "parts" / "one.json", []

    def measure():
        calls.append(1)
        return [{"seed": 0, "x": 0.5 * len(calls)}]

    first = kept_rows(path, {"seeds": (0, 1)}, measure)
    assert kept_rows(path, {"seeds": (0, 1)}, measure) == first
    assert len(calls) == 1 and first.rows == [{"seed": 0, "x": 0.5}]
    assert kept_rows(path, {"seeds": (0,)}, measure).rows == [{"seed": 0, "x": 1.0}]
    assert json.loads(path.read_text())["asked"] == {"seeds": [0]}


def test_a_damaged_file_is_one_message(tmp_path):
    path = tmp_path / "one.json"
    path.write_text("{")
    with pytest.raises(UserError, match="remove it, and it is measured again"):
        kept_rows(path, {}, list)
