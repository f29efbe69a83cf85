"""Few shards are open at once, and what cannot be read says why."""

import errno
import os
import pickle
import resource
import threading

import pytest
from array_record.python import array_record_module as array_record

from data_pipelines.errors import DataError
from data_pipelines.loading import shard_files
from data_pipelines.loading.shard_files import ShardFiles

COUNT = 30  # shards of two records each


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"shard-{number}" for number in range(COUNT)]
    for number, path in enumerate(paths):
        writer = array_record.ArrayRecordWriter(str(path), "group_size:1")
        for record in range(2):
            writer.write(f"{number}/{record}".encode() * 50)
        writer.close()
    return paths


@pytest.fixture
def limited(monkeypatch):
    """Few files may be open; whatever other tests left open is forgotten."""
    monkeypatch.setattr(shard_files, "_POOL", shard_files._Pool())
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(more):
        """`more` files than are open now, and no raising of the limit."""
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest)
        monkeypatch.setattr(shard_files, "_ENOUGH", 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + more, before[1]))
        return lowest + more

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_more_shards_than_the_process_may_open(paths, limited):
    limited(8)
    shards = ShardFiles(paths, [2] * COUNT)
    for record in (*range(2 * COUNT), 0, 59, 1):
        assert shards.read(record).startswith(f"{record // 2}/{record % 2}".encode())


def test_open_shards_are_half_of_what_is_allowed(paths, monkeypatch):
    pool = shard_files._Pool()
    monkeypatch.setattr(shard_files, "_POOL", pool)
    monkeypatch.setattr(shard_files, "_raised_limit", lambda: 12)
    shards, before = ShardFiles(paths, [2] * COUNT), open_files()
    for record in range(2 * COUNT):
        shards.read(record)
    assert open_files() - before == 6
    assert [key.path for key in pool._readers] == [str(path) for path in paths[-6:]]  # the newest


def test_many_threads_read_through_few_open_files(paths, monkeypatch):
    monkeypatch.setattr(shard_files, "_POOL", shard_files._Pool())
    monkeypatch.setattr(shard_files, "_raised_limit", lambda: 4)
    shards = pickle.loads(pickle.dumps(ShardFiles(paths, [2] * COUNT)))
    wrong = []

    def read(first):
        for record in range(first, 2 * COUNT, 3):
            if not shards.read(record).startswith(f"{record // 2}/{record % 2}/".encode()[:-1]):
                wrong.append(record)

    threads = [threading.Thread(target=read, args=(first,)) for first in (0, 1, 2, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_soft_limit_is_raised_to_the_hard_one():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
    try:
        assert shard_files._raised_limit() == min(before[1], 65536)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(before[1], 65536), before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_too_many_open_files_are_no_damage(paths, limited):
    limit = limited(0)
    with pytest.raises(
        DataError,
        match=f"Too many open files, this process may have {limit}.; the "
        "data is whole: raise the limit with `ulimit -n`",
    ) as raised:
        ShardFiles(paths, [2] * COUNT).read(3)
    assert "damaged" not in str(raised.value) and "prepare" not in str(raised.value)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_disk_that_fails_is_no_damage(paths, monkeypatch, number):
    class Failing:
        def read(self, numbers):
            raise RuntimeError(f"pread() failed: {os.strerror(number)}; reading {paths[0]}")

    monkeypatch.setattr(shard_files._Pool, "reader", lambda *arguments: Failing())
    with pytest.raises(
        DataError,
        match=f"cannot be read from its disk .{os.strerror(number)}.; what it holds may be whole",
    ) as raised:
        ShardFiles(paths, [2] * COUNT).read(0)
    assert "damaged" not in str(raised.value)


def test_a_shard_that_was_deleted_meanwhile(paths):
    shards = ShardFiles(paths, [2] * COUNT)
    paths[1].unlink()
    with pytest.raises(DataError, match="from its disk .No such file or directory."):
        shards.read(2)


def test_changed_bytes_and_foreign_files_are_damage(paths):
    data = bytearray(paths[0].read_bytes())
    data[140] ^= 1
    paths[0].write_bytes(data)
    paths[1].write_bytes(b"x" * 70_000)
    shards = ShardFiles(paths, [2, 2, 3] + [2] * (COUNT - 3))
    for record in (1, 2):
        with pytest.raises(DataError, match="cannot be read, the shard is damaged"):
            shards.read(record)
    with pytest.raises(DataError, match="damaged .2 records, the manifest says 3."):
        shards.read(4)


def test_records_are_told_by_shard_and_place(paths):
    shards = ShardFiles(paths, [2] * COUNT)
    assert shards.where(5) == f"record 1 of shard {paths[2]}"


def test_a_folder_that_was_made_anew_is_not_read_from_the_old_files(paths):
    assert ShardFiles(paths, [2] * COUNT).read(0).startswith(b"0/0")
    paths[7].replace(paths[0])
    assert ShardFiles(paths[:1], [2]).read(0).startswith(b"7/0")
