"""Writes TFRecords for tests."""

import struct

from data_pipelines.readers.tfds.tfrecord import masked_crc32c


def framed(record: bytes) -> bytes:
    """One record with its length and checksums."""
    head = struct.pack("<Q", len(record))
    ends = [struct.pack("<I", masked_crc32c(part)) for part in (head, record)]
    return head + ends[0] + record + ends[1]


def tfrecord(*records: bytes) -> bytes:
    """A whole file."""
    return b"".join(map(framed, records))
