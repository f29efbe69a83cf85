"""TFRecord files, written without TensorFlow; see readers.tfds.tfrecord for the format."""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Iterable

from data_pipelines.readers.tfds.tfrecord import masked_crc32c

LARGEST = (1 << 31) - (1 << 20)  # bytes of one record: protobuf reads no larger ones


def write_records(path: pathlib.Path, records: Iterable[bytes]) -> None:
    """Writes a file of records; raises OSError."""
    with open(path, "wb") as file:
        for record in records:
            head = struct.pack("<Q", len(record))
            for part in (head, record):
                file.write(part)
                file.write(struct.pack("<I", masked_crc32c(part)))
