"""How many episodes are lost with files that hold many and cannot be opened.

Files of one data set need about as many bytes for an episode, so the size of a file tells; of a
file that was cut short or never fetched, the size that it should have.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import re
import struct
from collections.abc import Sequence

from data_pipelines.readers.recordings import Item, Skipped

_HEAD = 512
_POINTER_SIZE = re.compile(rb"^size (\d{1,18})$", re.MULTILINE)  # of a Git LFS pointer
_HDF5 = b"\x89HDF\r\n\x1a\n"
# Version of the superblock -> where it keeps the end of the file (HDF5 File Format, II.A).
_HDF5_END = {0: 40, 1: 44, 2: 28, 3: 28}
_HDF5_WIDTH = {0: 13, 1: 13, 2: 9, 3: 9}  # the byte that says how wide addresses are


def estimated(
    root: pathlib.Path, items: Sequence[Item], skipped: Sequence[Skipped]
) -> list[Skipped]:
    """`skipped` with `about` filled in where files do not say how many episodes they hold.

    items: one per episode of the files that can be read, with the file's name as payload "file".
    """
    counts = collections.Counter(item.payload["file"] for item in items)
    size = sum((root / name).stat().st_size for name in counts)
    if not size:
        return list(skipped)
    per_episode = size / counts.total()
    return [
        entry
        if entry.expected or entry.episodes is not None
        else dataclasses.replace(entry, about=_about(root / entry.name, per_episode))
        for entry in skipped
    ]


def unknown(skipped: Sequence[Skipped]) -> list[Skipped]:
    """Entries of a listing, of which a broken link may stand for many episodes."""
    return [
        dataclasses.replace(entry, episodes=None) if entry.reason == "broken link" else entry
        for entry in skipped
    ]


def _about(path: pathlib.Path, per_episode: float) -> int | None:
    size = whole_size(path)
    return None if size is None else max(1, round(size / per_episode))


def whole_size(path: pathlib.Path) -> int | None:
    """Bytes that the file has, or should have by its own header; None if it does not tell."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return None
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    if head.startswith(_HDF5):
        return max(size, _end_of_hdf5(head))
    pointed = _POINTER_SIZE.search(head) if size < _HEAD else None
    return int(pointed[1]) if pointed else None


def _end_of_hdf5(head: bytes) -> int:
    version = head[8] if len(head) > 8 else -1
    if version not in _HDF5_END or len(head) < _HDF5_END[version] + 8:
        return 0
    if head[_HDF5_WIDTH[version]] != 8:
        return 0
    return struct.unpack_from("<Q", head, _HDF5_END[version])[0]
