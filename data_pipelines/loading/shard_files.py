"""Records by number, out of many shard files of which only so many are open at once.

A process may open 1,024 files on most machines, and data sets have more shards than that. Open
readers are kept in one pool of the process, and those that were used longest ago are closed.
"""

from __future__ import annotations

import bisect
import collections
import itertools
import pathlib
import re
import resource
import threading
from collections.abc import Sequence
from typing import NamedTuple

from array_record.python import array_record_module as array_record

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import AGAIN
from data_pipelines.system_errors import system_error, too_many_files

_ENOUGH = 65536  # files; a higher limit of the system is not asked for
# How ArrayRecord writes what the system said: "pread() failed: Input/output error; reading FILE".
_SYSTEM = re.compile(r"\b\w+\(\) failed: ([^;]+)")


class ShardFiles:
    """The records of some shards, numbered from 0 in their order. Thread-safe and picklable."""

    def __init__(self, paths: Sequence[pathlib.Path], counts: Sequence[int]):
        self._paths = [str(path) for path in paths]
        self._keys = [_key(path) for path in paths]
        self._counts = list(counts)
        self._ends = list(itertools.accumulate(counts))

    def locate(self, record: int) -> tuple[int, int]:
        """(shard, record in it)."""
        shard = bisect.bisect_right(self._ends, record)
        return shard, record - (self._ends[shard] - self._counts[shard])

    def where(self, record: int) -> str:
        """ "record N of shard FILE", for messages; N counts from 0 in that file."""
        shard, place = self.locate(record)
        return f"record {place} of shard {self._paths[shard]}"

    def read(self, record: int) -> bytes:
        """The bytes of one record.

        Raises DataError, without saying which record: too many open files, a disk that fails, a
        shard that is damaged.
        """
        shard, place = self.locate(record)
        try:
            reader = _POOL.reader(self._keys[shard], self._counts[shard])
            return reader.read([place])[0]
        except RuntimeError as error:  # all that ArrayRecord raises
            raise DataError(_told(str(error))) from error


class _Key(NamedTuple):
    """Which file: another one may come to lie under the same path while this process lives."""

    path: str
    inode: int
    modified: int


def _key(path: pathlib.Path) -> _Key:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {system_error(error.strerror)}") from error
    return _Key(str(path), status.st_ino, status.st_mtime_ns)


class _Pool:
    """Open readers by file, at most half as many as the process may have files."""

    def __init__(self):
        self._readers: collections.OrderedDict[_Key, array_record.ArrayRecordReader] = (
            collections.OrderedDict()
        )
        self._lock = threading.Lock()
        self._most = 0  # until the first shard is opened

    def reader(self, key: _Key, records: int) -> array_record.ArrayRecordReader:
        """The open reader of a shard with so many records; RuntimeError if it cannot be opened.

        It stays open as long as somebody holds it, whether or not the pool does.
        """
        with self._lock:
            reader = self._readers.get(key)
            if reader is not None:
                self._readers.move_to_end(key)
                return reader
            self._most = self._most or max(1, _raised_limit() // 2)
        try:  # outside the lock: others go on reading
            reader = _open(key.path, records)
        except RuntimeError as error:
            if not too_many_files(_system_words(str(error))):
                raise
            self._keep(len(self._readers) // 2)  # the rest of the process needs more than half
            reader = _open(key.path, records)
        with self._lock:
            reader = self._readers.setdefault(key, reader)
        self._keep(self._most)
        return reader

    def _keep(self, count: int) -> None:
        """Forgets all but the `count` readers used last, and keeps no more than that from now on."""
        with self._lock:
            self._most = max(1, min(count, self._most))
            while len(self._readers) > self._most:
                self._readers.popitem(last=False)


_POOL = _Pool()


def _open(path: str, records: int) -> array_record.ArrayRecordReader:
    reader = array_record.ArrayRecordReader(
        path, options="readahead_buffer_size:0", file_reader_buffer_size=32768
    )
    if not reader.ok():
        reader.read([0])  # the library tells only now what went wrong
    if not reader.ok() or reader.num_records() != records:
        raise RuntimeError(f"{reader.num_records()} records, the manifest says {records}")
    return reader


def _raised_limit() -> int:
    """How many files this process may open, after asking for as many as the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _ENOUGH if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has another limit, which it does not tell
        return soft
    return wanted


def _system_words(error: str) -> str | None:
    """What the system said, if it is at fault."""
    found = _SYSTEM.search(error)
    return found[1] if found else None


def _told(error: str) -> str:
    """The library's words as what happened and the remedy."""
    words = _system_words(error)
    if words is not None:
        return system_error(words)
    return f"cannot be read, the shard is damaged ({error}); copy it anew, or {AGAIN}"
