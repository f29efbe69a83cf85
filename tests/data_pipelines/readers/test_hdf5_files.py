"""HDF5 files: locks, pointers, parts that are missing, and sizes."""

import errno
import fcntl

import h5py
import numpy as np
import pytest

from data_pipelines.readers.files import hdf5_files
from data_pipelines.readers.recordings import ItemError
from tests.data_pipelines.readers import robot_files as rf


def reason(path, read=lambda file: None):
    with pytest.raises(ItemError) as caught:
        with hdf5_files.open_hdf5(path) as file:
            read(file)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["pictures"] = np.stack([rf.upright(t) for t in range(4)])
        file["numbers"] = np.zeros((4, 3))
        file.attrs["text"] = "words"
    return tmp_path / "a.hdf5"


def test_file_that_a_writer_holds_is_locked_not_damaged(path):
    with open(path, "r+b") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert reason(path) == "locked"
    with hdf5_files.open_hdf5(path) as file:
        assert hdf5_files.frame_count(file, "pictures") == 4


def test_file_system_without_locks(path, monkeypatch):
    """Reading goes on without one, unless somebody holds it."""
    real, asked = h5py.File, []

    def refusing(name, mode, locking=None):
        asked.append(locking)
        if locking is None:
            raise OSError(errno.ENOLCK, "unable to lock file, error message = 'No locks available'")
        return real(name, mode, locking=locking)

    monkeypatch.setattr(h5py, "File", refusing)
    with hdf5_files.open_hdf5(path) as file:
        assert "numbers" in file
    assert asked == [None, False]


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "git-lfs pointer"),
        (b"<html><body>404", "other format"),
        (b"\x89PNG\r\n\x1a\n", "other format"),
        (b"", "empty file"),
        (b"some words", "unreadable"),
    ],
)
def test_file_that_is_no_hdf5(tmp_path, content, expected):
    (tmp_path / "a.h5").write_bytes(content)
    assert reason(tmp_path / "a.h5") == expected


def test_frames_that_were_never_written(path):
    """They would read as black."""
    with h5py.File(path, "a") as file:
        half = file.create_dataset("half", (4, 8, 8, 3), "u1", chunks=(1, 8, 8, 3))
        half[:2] = 7
        file.create_dataset("none", (4, 8, 8, 3), "u1")
    assert reason(path, lambda file: hdf5_files.frame_count(file, "half")) == "incomplete"
    assert reason(path, lambda file: hdf5_files.frame_count(file, "none")) == "incomplete"


def test_sizes_are_judged_before_reading(path):
    with h5py.File(path, "a") as file:
        file.create_dataset("wide", (1000, 10**7), "f8", chunks=(1, 10))
        file.create_dataset("chunks", (2, 2**15, 2**15, 3), "u1", chunks=(1, 2**15, 2**15, 1))
        file.create_dataset("long", (10**9, 3), "f4", chunks=(1, 3))
        file.attrs["numbers"] = np.arange(3)
    assert reason(path, lambda file: hdf5_files.read_array(file, "wide", -1)) == "too large"
    assert reason(path, lambda file: hdf5_files.frame_count(file, "chunks")) == "too large"
    assert reason(path, lambda file: hdf5_files.read_array(file, "long", 3)) == "unreadable"
    assert reason(path, lambda file: hdf5_files.row_width(file, "wide")) == "missing labels"
    with hdf5_files.open_hdf5(path) as file:
        assert hdf5_files.text_attribute(file, "numbers") == ""


def test_text_attributes(path, monkeypatch):
    with h5py.File(path, "a") as file:
        file.attrs["latin"] = np.bytes_("caf\xe9".encode("latin1"))
        file.attrs.create("broken", b"caf\xe9", dtype=h5py.string_dtype("utf-8"))
    with hdf5_files.open_hdf5(path) as file:
        assert hdf5_files.text_attribute(file, "text") == "words"
        assert hdf5_files.text_attribute(file, "latin") == "caf\ufffd"
        assert hdf5_files.text_attribute(file, "broken") == "caf\ufffd"
        assert hdf5_files.text_attribute(file, "absent") == ""
    monkeypatch.setattr(hdf5_files, "MAX_TEXT_BYTES", 4)
    assert reason(path, lambda file: hdf5_files.text_attribute(file, "text")) == "too large"


def test_missing_pictures_are_told_with_those_that_are_there(path):
    with hdf5_files.open_hdf5(path) as file:
        with pytest.raises(ItemError, match="camera does not exist; pictures there: pictures"):
            hdf5_files.frame_count(file, "camera")


def test_names_that_are_not_utf8(path, tmp_path):
    """They are no reason to refuse a file, and hide no link."""
    with h5py.File(path, "a") as file:
        data = file.create_group("data")
        h5py.h5g.create(data.id, b"demo_\xff")
        data.create_group("demo_2")
        data.create_group("demo_10")
    with hdf5_files.open_hdf5(path) as file:
        assert hdf5_files.demo_names(file["data"]) == ["demo_2", "demo_10"]
        assert hdf5_files.picture_names(file["data"]) == []
    with h5py.File(path, "a") as file:
        data = file["data"]
        data.id.links.create_external(b"caf\xe9", b"/etc/hosts\xff", b"/")
    assert reason(path) == "unsafe path"


def test_link_that_leads_in_a_circle_costs_its_demo_only(path):
    with h5py.File(path, "a") as file:
        for name in ("demo_0", "demo_1"):
            file[f"data/{name}/actions"] = np.zeros((4, 3))
        del file["data/demo_0/actions"]
        file["data/demo_0/actions"] = h5py.SoftLink("/data/demo_0/actions")
        file["data/demo_2"] = np.zeros(3)
    with hdf5_files.open_hdf5(path) as file:
        data = hdf5_files.subgroup(file, "data")
        names = hdf5_files.demo_names(data)
        assert hdf5_files.demo_sizes(data, names, "actions") == [1, 4, 1]
        with pytest.raises(ItemError, match="/data/demo_0/actions"):
            hdf5_files.read_array(data, "demo_0/actions", -1)
        with pytest.raises(ItemError, match="/data/demo_2 is no group"):
            hdf5_files.subgroup(data, "demo_2")
