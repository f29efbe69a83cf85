"""Sizes of ArrayRecord's records by the headers of its chunks, against its own writer."""

import io
import os

import pytest
from array_record.python import array_record_module

from data_pipelines.readers.files import unpacking
from data_pipelines.readers.files.array_record_chunks import chunks, oversized
from data_pipelines.readers.tfds.episodes import shard_episodes
from data_pipelines.readers.tfds.folder import TfdsFolder


def write(path, records, options="group_size:1"):
    writer = array_record_module.ArrayRecordWriter(str(path), options)
    for record in records:
        writer.write(record)
    writer.close()
    return path


@pytest.mark.parametrize("packing", ["brotli", "zstd", "uncompressed"])
def test_every_chunk_is_found(tmp_path, packing):
    """Noise of sizes around those of blocks, so that chunks begin and end at every place in one."""
    sizes = [1, 40, 65_400, 65_512, 65_536, 200_000, *range(65_420, 65_540, 7), 3]
    path = write(tmp_path / "a", [os.urandom(size) for size in sizes], f"group_size:1,{packing}")
    with open(path, "rb") as file:
        found = list(chunks(file, path.stat().st_size))
    assert [chunk.unpacked for chunk in found if chunk.records == 1][: len(sizes)] == sizes


def test_groups_of_records(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "FREE", 1 << 16)
    records = [os.urandom(100) for _ in range(6)]
    records[4] = bytes(1 << 24)
    assert oversized(write(tmp_path / "a", records, "group_size:1")) == {4}
    assert oversized(write(tmp_path / "b", records, "group_size:2")) == {4, 5}


def test_a_record_made_to_fill_the_memory_is_lost_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "FREE", 1 << 16)
    path = write(tmp_path / "a", [b"", bytes(1 << 24), b""])
    folder = TfdsFolder(tmp_path, "a", "", "", "array_record", {}, {}, {"a": 3})
    found = [getattr(episode, "reason", "kept") for episode in shard_episodes(folder, path)]
    assert found == ["kept", "too large", "kept"]


@pytest.mark.parametrize("data", [b"", b"\xff" * 300, bytes(70_000), os.urandom(5000)])
def test_what_is_no_array_record_ends(data):
    assert len(list(chunks(io.BytesIO(data), len(data)))) <= len(data)
