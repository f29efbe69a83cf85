"""A file is there whole or not at all, also when two write it at once."""

import os

import pytest

from data_pipelines.whole_files import UNFINISHED, whole_file


@pytest.mark.parametrize("durable", [False, True])
def test_the_file_appears_when_all_is_written(tmp_path, durable):
    path = tmp_path / "a.json"
    with whole_file(path, durable=durable) as unfinished:
        unfinished.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError), whole_file(tmp_path / "a") as unfinished:
        unfinished.write_text("half")
        raise KeyError
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_two_writers_have_a_file_each_and_the_last_one_stands(tmp_path):
    (tmp_path / "scratch").mkdir()
    path, scratch = tmp_path / "a", tmp_path / "scratch"
    with whole_file(path, scratch=scratch) as one:
        with whole_file(path, scratch=scratch) as other:
            assert one != other and one.name.startswith(UNFINISHED)
            one.write_text("one")
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one" and not os.listdir(scratch)
