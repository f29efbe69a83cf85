"""Why a file cannot be opened: the cause and the remedy, for every reader."""

import os

import pytest

from data_pipelines.readers.files.opening import fault, unreadable

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "expected", "reason", "told"),
    [
        (POINTER, "an HDF5 file", "git-lfs pointer", "git lfs pull"),
        (b"", "a video", "empty file", "zero bytes"),
        (b"\n <!DOCTYPE html><html>404", "a Parquet file", "other format", "web page"),
        (b"\x00\x05\x16\x07" + bytes(90), "a video", "other format", "AppleDouble"),
        (b"PK\x03\x04" + bytes(90), "a video", "other format", "unpack it first"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "a Parquet file", "other format", "is HDF5"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "an HDF5 file", "unreadable", "its own words"),
        (b"\x89PNG" + bytes(90), "a picture", "unreadable", "its own words"),
        (b"PK\x03\x04" + bytes(90), "an npz archive", "unreadable", "its own words"),
        (bytes(90), "an HDF5 file", "unreadable", "its own words"),
    ],
)
def test_the_first_bytes_tell(tmp_path, content, expected, reason, told):
    file = tmp_path / "x.bin"
    file.write_bytes(content)
    error = unreadable(file, OSError("its own words"), expected)
    assert (error.reason, told in str(error), "x.bin" in str(error)) == (reason, True, True)


def test_what_is_not_there(tmp_path):
    assert fault(tmp_path / "gone.mp4").reason == "missing"
    (tmp_path / "link.mp4").symlink_to(".git/annex/objects/key")
    error = fault(tmp_path / "link.mp4")
    assert error.reason == "broken link" and ".git/annex/objects/key" in str(error)
    os.mkfifo(tmp_path / "pipe.mp4")
    assert fault(tmp_path / "pipe.mp4").reason == "not a file"
    assert fault(tmp_path).reason == "not a file"


def test_a_lock_is_no_damage(tmp_path):
    file = tmp_path / "a.hdf5"
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
    words = "[Errno 11] Unable to synchronously open file (unable to lock file, errno = 11)"
    error = unreadable(file, OSError(words), "an HDF5 file")
    assert error.reason == "locked" and "damaged" not in str(error)


def test_a_sound_file_has_no_fault(tmp_path):
    (tmp_path / "a.txt").write_text("words")
    assert fault(tmp_path / "a.txt") is None
