"""TFRecord without TensorFlow: plain and gzip, every kind of damage."""

import gzip
import struct

import numpy as np
import pytest
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorflow_datasets.proto import tf_example_generated_pb2 as pb

from data_pipelines.readers.files import unpacking
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.tfds.tfrecord import masked_crc32c, parse_example, records
from tests.data_pipelines.readers.tfrecord_writer import framed, tfrecord

RECORDS = [b"first", b"", bytes(range(256)) * 40, b"last"]
FILE = tfrecord(*RECORDS)


def write(path, data):
    path.write_bytes(data)
    return path


def test_file_of_another_writer(tmp_path):
    """TensorBoard's event files are TFRecords; its writer is independent of this package."""
    with open(tmp_path / "a", "wb") as file:
        writer = RecordWriter(file)
        for record in RECORDS:
            writer.write(record)
    assert (tmp_path / "a").read_bytes() == FILE
    assert list(records(tmp_path / "a")) == RECORDS


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_plain_and_gzip(tmp_path, compress):
    assert list(records(write(tmp_path / "a", compress(FILE)))) == RECORDS


@pytest.mark.parametrize("keep", [4, 11, 12, 14, len(FILE) - 1])
def test_cut_file_gives_what_is_whole(tmp_path, keep):
    *whole, last = records(write(tmp_path / "a", FILE[:keep]))
    ends = np.cumsum([len(framed(record)) for record in RECORDS])
    assert whole == RECORDS[: int((ends <= keep).sum())]
    assert last.reason == "truncated file"


def test_cut_between_records_is_no_damage(tmp_path):
    cut = len(framed(RECORDS[0]))
    assert list(records(write(tmp_path / "a", FILE[:cut]))) == RECORDS[:1]


@pytest.mark.parametrize("lost", [1, 8, 12])
def test_cut_gzip(tmp_path, lost):
    noise = np.random.default_rng(0).bytes(5000)
    data = gzip.compress(framed(b"whole") + framed(noise))
    *whole, last = records(write(tmp_path / "a", data[:-lost]))
    assert whole[:1] == [b"whole"]
    assert last.reason == "truncated file"


def test_flipped_byte_costs_one_record(tmp_path):
    broken = bytearray(FILE)
    broken[12] ^= 1  # first byte of the first record
    first, *rest = records(write(tmp_path / "a", bytes(broken)))
    assert first.reason == "corrupt record"
    assert rest == RECORDS[1:]


def test_flipped_length_ends_the_file(tmp_path):
    broken = bytearray(FILE)
    broken[len(framed(RECORDS[0]))] ^= 1
    first, second = records(write(tmp_path / "a", bytes(broken)))
    assert first == RECORDS[0]
    assert second.reason == "corrupt record"


def test_length_of_an_attacker(tmp_path):
    """A sound checksum over an absurd length reads nothing and allocates nothing."""
    head = struct.pack("<Q", 1 << 60)
    data = head + struct.pack("<I", masked_crc32c(head))
    (error,) = records(write(tmp_path / "a", data))
    assert error.reason == "corrupt record"


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty file"), (b"not a record file at all", "not a TFRecord")]
)
def test_no_tfrecord(tmp_path, data, reason):
    with pytest.raises(ItemError) as caught:
        list(records(write(tmp_path / "a", data)))
    assert caught.value.reason == reason


def test_gzip_with_damage_inside(tmp_path):
    data = bytearray(gzip.compress(FILE))
    data[-6] ^= 255  # its own checksum
    *whole, last = records(write(tmp_path / "a", bytes(data)))
    assert whole == RECORDS
    assert last.reason == "corrupt record"


def test_example_message():
    message = pb.Example()
    message.features.feature["n"].int64_list.value.extend([1, -2])
    message.features.feature["x"].float_list.value.append(0.5)
    message.features.feature["b"].bytes_list.value.append(b"\x00\xff")
    message.features.feature["none"].SetInParent()
    parsed = parse_example(message.SerializeToString())
    assert {name: list(values) for name, values in parsed.items()} == {
        "n": [1, -2],
        "x": [0.5],
        "b": [b"\x00\xff"],
        "none": [],
    }
    with pytest.raises(ItemError, match=r"tf\.train\.Example"):
        parse_example(b"\xff\xff\xff")


def test_gzip_that_unpacks_to_gigabytes(tmp_path, monkeypatch):
    """Stopped at the record's length, before anything of it is unpacked."""
    monkeypatch.setattr(unpacking, "FREE", 1 << 16)
    data = gzip.compress(framed(b"small") + framed(bytes(1 << 24)) + framed(b"more"))
    first, *rest = records(write(tmp_path / "a", data))
    assert first == b"small"
    assert [(error.reason, error.episodes) for error in rest] == [("too large", None)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer"),
        (b"<html><body>404", "other format"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "other format"),
    ],
)
def test_files_that_are_something_else(tmp_path, data, reason):
    with pytest.raises(ItemError) as caught:
        next(records(write(tmp_path / "a", data)))
    assert caught.value.reason == reason


def test_episodes_that_damage_costs(tmp_path):
    """One where its length is intact; nobody knows how many where the file ends early."""
    broken = bytearray(FILE[:-1])
    broken[12] ^= 1
    found = [r for r in records(write(tmp_path / "a", bytes(broken))) if isinstance(r, ItemError)]
    assert [error.episodes for error in found] == [1, None]
