"""How large the records of an ArrayRecord are, before any of them is unpacked.

ArrayRecord's own reader unpacks a chunk as a whole and has no limit. The chunk's header says what
it will come to (github.com/google/riegeli, doc/riegeli_records_file_format.md):

    header: 5 x uint64 - hash of the header, size of the data, hash of the data, type (1 byte) and
    number of records (7 bytes), size of the data once unpacked
    every 64 KiB of the file begin with 24 bytes of another header, wherever that falls
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from data_pipelines.readers.files.unpacking import most_unpacked

_BLOCK, _BLOCK_HEADER = 1 << 16, 24
_USABLE = _BLOCK - _BLOCK_HEADER
_HEADER = struct.Struct("<5Q")


class Chunk(NamedTuple):
    """records: how many; size: bytes of the data; unpacked: bytes that it says it unpacks to."""

    records: int
    size: int
    unpacked: int


def oversized(path: str | os.PathLike) -> set[int]:
    """The numbers of the records that would unpack to more than `most_unpacked` allows."""
    found, first = set(), 0
    with open(path, "rb") as file:
        for chunk in chunks(file, os.fstat(file.fileno()).st_size):
            if chunk.unpacked > most_unpacked(chunk.size):
                found |= set(range(first, first + chunk.records))
            first += chunk.records
    return found


def chunks(file: BinaryIO, length: int) -> Iterator[Chunk]:
    """The chunks of a file of `length` bytes, as far as their headers make sense."""
    start = 0
    while start < length:
        header = _read(file, start)
        if len(header) < _HEADER.size:
            return
        _, size, _, kind, unpacked = _HEADER.unpack(header)
        end = _end(start, size, kind >> 8)
        if end > length or kind >> 8 > length:
            return
        yield Chunk(kind >> 8, size, unpacked)
        start = end


def _read(file: BinaryIO, start: int) -> bytes:
    """The header of the chunk at `start`, around headers of blocks."""
    pieces, at, missing = [], start, _HEADER.size
    while missing:
        if at % _BLOCK == 0:
            at += _BLOCK_HEADER
        file.seek(at)
        piece = file.read(min(missing, _BLOCK - at % _BLOCK))
        if not piece:
            break
        pieces.append(piece)
        at, missing = at + len(piece), missing - len(piece)
    return b"".join(pieces)


def _end(start: int, size: int, records: int) -> int:
    """Where the next chunk begins: behind the data, at a place where a chunk may begin, and at
    least a byte per record further."""
    length = _HEADER.size + size
    blocks = (length + (start + _USABLE - 1) % _BLOCK) // _USABLE
    least = start + records
    least += max(0, -least % _BLOCK - (_USABLE - 1))
    return max(start + length + blocks * _BLOCK_HEADER, least)
