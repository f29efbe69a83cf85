"""Why can this file not be opened? One answer for all readers, with the remedy.

Libraries say "not an HDF5 file" or "Invalid data found" of files that are something else entirely:
a pointer that Git LFS left in the place of a file, the web page of a failed download, a link
whose target was never fetched, a file that a writer still holds.
"""

from __future__ import annotations

import os
import pathlib
import stat
from typing import Any

from data_pipelines.readers.recordings import ItemError
from data_pipelines.typed_json import T, read_json

APPLE_DOUBLE = b"\x00\x05\x16\x07"
_LFS = b"version https://git-lfs.github.com/spec/"
_LOCK_WORDS = ("unable to lock file", "resource temporarily unavailable")
# First bytes, what they mean, and the kinds of file that may begin so.
_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "HDF5", ("hdf5",)),
    (b"PAR1", "Parquet", ("parquet",)),
    (b"PK\x03\x04", "a ZIP archive; unpack it first", ("npz",)),
    (b"\x1f\x8b", "gzip; unpack it first", ("tfrecord", "gzipped")),
    (b"\x28\xb5\x2f\xfd", "zstd; unpack it first", ()),
    (b"BZh", "bzip2; unpack it first", ()),
    (b"\xfd7zXZ\x00", "xz; unpack it first", ()),
    (b"Rar!", "a RAR archive; unpack it first", ()),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first", ()),
    (b"\x93NUMPY", "a NumPy array", ("npy",)),
    (b"%PDF", "PDF", ()),
    (b"%!PS", "PostScript", ()),
    (b"\x89PNG", "a PNG picture", ("picture",)),
    (b"\xff\xd8\xff", "a JPEG picture", ("picture",)),
    (b"GIF8", "a GIF", ("picture", "video")),
    (b"\x1a\x45\xdf\xa3", "Matroska or WebM video", ("video",)),
)


def unreadable(path: str | os.PathLike, error: BaseException | str, expected: str) -> ItemError:
    """The ItemError for a file that could not be opened or read.

    error: what the library said. expected: what it was opened as ("an HDF5 file"). The reason is
    one of 'git-lfs pointer', 'missing', 'broken link', 'no permission', 'locked', 'empty file',
    'not a file', 'other format', or 'unreadable' with the library's own words.
    """
    path = pathlib.Path(path)
    found = fault(path, expected)
    if found is not None:
        return found
    text = str(error).strip() or type(error).__name__
    if any(word in text.lower() for word in _LOCK_WORDS):
        return ItemError(
            "locked",
            f"{path}: another program holds a lock on it, probably a writer; close that, or copy the "
            "file once it is complete",
        )
    return ItemError("unreadable", f"{path}: damaged, or not {expected} ({text})")


def fault(path: str | os.PathLike, expected: str = "what its name says") -> ItemError | None:
    """What is wrong with the file itself, judged by its first bytes; None if nothing shows."""
    path = pathlib.Path(path)
    try:
        status = path.stat()
    except OSError as error:
        return _missing(path, error)
    if not stat.S_ISREG(status.st_mode):
        return ItemError("not a file", f"{path}: a {kind_of(status.st_mode)}, not a file")
    if status.st_size == 0:
        return ItemError("empty file", f"{path}: zero bytes; copy or download it again")
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except PermissionError:
        return ItemError("no permission", f"{path}: may not be read; change its permissions")
    except OSError as error:
        return ItemError("unreadable", f"{path}: cannot be read from its disk ({error.strerror})")
    return _by_content(path, head, expected)


def source_json(path: str | os.PathLike, kind: type[T] | Any = Any, *, remedy: str = "") -> T:
    """`typed_json.read_json` for a file of the source: a pointer, a pipe, a web page are named."""
    found = fault(path, "a JSON file")
    if found is not None:
        raise found
    return read_json(path, kind, remedy=remedy)


def _missing(path: pathlib.Path, error: OSError) -> ItemError:
    if path.is_symlink():
        target = os.readlink(path)
        remedy = "fetch the data (git annex get, dvc pull, or the hub's download again)"
        return ItemError("broken link", f"{path}: its target {target} is not there; {remedy}")
    if isinstance(error, PermissionError):
        return ItemError("no permission", f"{path}: may not be read; change permissions")
    if isinstance(error, FileNotFoundError):
        return ItemError("missing", f"{path}: no such file; copy or download it again")
    return ItemError("unreadable", f"{path}: {error.strerror or error}")


def _by_content(path: pathlib.Path, head: bytes, expected: str) -> ItemError | None:
    if head.startswith(_LFS):
        return ItemError(
            "git-lfs pointer",
            f"{path}: a Git LFS pointer, not the file itself; run `git lfs install && git lfs pull` "
            "in its repository",
        )
    if head.startswith(APPLE_DOUBLE):
        return ItemError("other format", f"{path}: an AppleDouble file of macOS, no data")
    if head.lstrip()[:64].lower().startswith((b"<!doctype html", b"<html")):
        return ItemError(
            "other format",
            f"{path}: a web page (a failed download?), not {expected}; fetch it again",
        )
    for magic, name, kinds in _MAGIC:
        if head.startswith(magic) and not any(kind in expected.lower() for kind in kinds):
            return ItemError("other format", f"{path}: is {name}, not {expected}")
    return None


def kind_of(mode: int) -> str:
    """'named pipe', 'device', ... for the type bits of a file's mode."""
    kinds = (
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
        (stat.S_ISDIR, "folder"),
    )
    return next((name for test, name in kinds if test(mode)), "file")
