"""A full or failing disk ends the job with one message; with room the same command goes on."""

import contextlib
import errno
import os
import pathlib
import resource

import numpy as np
import pytest

from data_pipelines.conversion import bundles, shards, spool
from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.conversion.output import OutputError
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.registry import recipe_options
from data_pipelines.tools.validation import validate
from tests.data_pipelines.conversion.painted import make_options

PAINTED = "tests.data_pipelines.conversion.painted"


@contextlib.contextmanager
def largest_file(size):
    """Writing more to one file fails, as on a full disk, in every library."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def goes_on(out, expected):
    assert prepare(PAINTED, out, make_options())
    assert open_dataset(out).manifest["content_hash"] == expected
    assert validate(out)["episodes"] == 12


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "data"
    prepare(PAINTED, out, make_options())
    return open_dataset(out).manifest["content_hash"]


@pytest.mark.parametrize("size", [500, 5_000, 20_000])  # in the frames, the labels, the shards
@pytest.mark.parametrize("workers", [1, 2])
def test_no_room_is_one_message_and_the_same_command_goes_on(tmp_path, content, size, workers):
    message = "cannot write .*MB are free there. What is finished is kept"
    with largest_file(size), pytest.raises(OutputError, match=message) as error:
        prepare(PAINTED, tmp_path / "data", make_options(), engine=Engine(workers=workers))
    assert "\n" not in str(error.value) and not (tmp_path / "data").exists()
    goes_on(tmp_path / "data", content)


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (spool.np, "savez"),
        (bundles.tempfile, "mkdtemp"),
        (shards.np, "save"),
        (pathlib.Path, "write_text"),
        (os, "rename"),
        (os, "replace"),
        (os, "fsync"),
    ],
)
def test_every_place_that_writes_tells_the_same(tmp_path, monkeypatch, content, place, name):
    with monkeypatch.context() as patch:
        patch.setattr(place, name, full)
        with pytest.raises(OutputError, match="No space left on device.*the same command goes on"):
            prepare(PAINTED, tmp_path / "data", make_options())
    goes_on(tmp_path / "data", content)


def test_a_writer_that_loses_records_in_silence_is_noticed(tmp_path, monkeypatch, content):
    original = shards.array_record.ArrayRecordWriter

    class Forgetful:
        def __init__(self, *args):
            self._writer, self._count = original(*args), 0

        def write(self, record):
            self._count += 1
            if self._count > 1:
                self._writer.write(record)

        def close(self):
            self._writer.close()

    with monkeypatch.context() as patch:
        patch.setattr(shards.array_record, "ArrayRecordWriter", Forgetful)
        with pytest.raises(OutputError, match="painted-train.array_record.* of .* records arrived"):
            prepare(PAINTED, tmp_path / "data", make_options())
    goes_on(tmp_path / "data", content)


def test_simulators_go_on_where_room_ended(tmp_path):
    options = recipe_options("synthetic", "--episodes=4", "--length=20", "--size=16")
    with largest_file(1_000), pytest.raises(OutputError, match="the same command goes on"):
        prepare("synthetic", tmp_path / "data", options)
    assert prepare("synthetic", tmp_path / "data", options)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_input_error_of_a_source_is_no_full_disk():
    entry = bundles.as_skipped("a.mp4", OSError(errno.EIO, "Input/output error"))
    assert entry.reason == "unreadable" and "Input/output error" in entry.detail
    for number in (errno.ENOSPC, errno.EMFILE):
        with pytest.raises(OutputError):
            bundles.as_skipped("a.mp4", OSError(number, os.strerror(number)))


def test_an_error_that_says_nothing_is_told_with_its_kind():
    assert bundles.as_skipped("a", KeyError("x")).detail == "KeyError: 'x'"
    assert bundles.as_skipped("a", MemoryError()).detail == "MemoryError"
    assert bundles.as_skipped("a", DataError("plain")).detail == "plain"


def test_frames_of_the_source_and_the_file_of_the_output_fail_apart(tmp_path, square_options):
    from data_pipelines.simulators import synthetic

    spec = synthetic._spec(square_options, "square", "", "")

    def broken():
        yield np.zeros((16, 16, 3), np.uint8)
        raise OSError(errno.EIO, "source")

    with pytest.raises(OSError, match="source") as error:
        spool.write_episode(tmp_path, spec, 0, broken())
    assert not isinstance(error.value, DataError) and not list(tmp_path.iterdir())
