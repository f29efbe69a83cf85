"""TFRecord files and tf.train.Example messages, read without TensorFlow.

A TFRecord is, per record: uint64 length, uint32 masked crc32c of the length, the bytes, uint32
masked crc32c of the bytes, all little-endian; the file may be compressed as a whole with gzip
(tensorflow/core/lib/io/record_writer.h). Damage comes out as values, not as exceptions, so that one
bad bit costs one record where the format allows to go on.
"""

from __future__ import annotations

import functools
import gzip
import os
import pathlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from data_pipelines.optional import require
from data_pipelines.readers.files.opening import fault
from data_pipelines.readers.files.unpacking import most_unpacked
from data_pipelines.readers.recordings import ItemError

_PIECE = 1 << 24  # bytes read at once: a wrong length must not allocate gigabytes
_LARGEST = 1 << 31  # protobuf messages are smaller


@functools.cache
def _checksum() -> Callable[[bytes], int]:
    return require("google_crc32c").value


def masked_crc32c(data: bytes) -> int:
    """The rotated checksum that TFRecord stores (so that checksums of checksums differ)."""
    crc = _checksum()(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: str | os.PathLike) -> Iterator[bytes | ItemError]:
    """The records of a TFRecord file, plain or gzip (told apart by content).

    A damaged record comes as an ItemError in its place: reason 'corrupt record', after which the
    file goes on where its lengths are intact (episodes is 1), or 'corrupt record', 'truncated file'
    or 'too large' as the last, after which nobody knows how many there were (episodes is None).
    Raises ItemError ('not a TFRecord', or what `opening.fault` says) if the file is neither.
    """
    path = pathlib.Path(path)
    problem = fault(path, "a TFRecord file")
    if problem is not None:
        raise problem
    with open(path, "rb") as file:
        head = file.read(12)
        file.seek(0)
        if len(head) == 12 and _length_is_sound(head):
            yield from _records(file, path, _LARGEST)
        elif head[:2] == b"\x1f\x8b":
            most = min(_LARGEST, most_unpacked(path.stat().st_size))
            with gzip.open(file) as unzipped:
                yield from _records(unzipped, path, most)
        elif len(head) < 12:
            yield ItemError("truncated file", f"{path}: {len(head)} bytes, not one whole record")
        else:
            raise ItemError("not a TFRecord", f"{path}: starts with {head!r}")


def _length_is_sound(head: bytes) -> bool:
    return struct.unpack("<I", head[8:12])[0] == masked_crc32c(head[:8])


def _records(
    file: IO[bytes] | gzip.GzipFile, path: pathlib.Path, most: int
) -> Iterator[bytes | ItemError]:
    """most: bytes of a record, beyond which nothing more of the file is read."""
    number = 0
    while True:
        where = f"{path}, record {number}"
        try:
            head = _read(file, 12)
            if not head:
                return
            if len(head) == 12 and not _length_is_sound(head):
                yield ItemError("corrupt record", f"{where}: checksum of its length is wrong")
                return  # nobody knows where the next one starts
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            if length > most:
                reason = "corrupt record" if length > _LARGEST else "too large"
                yield ItemError(reason, f"{where}: says it has {length} bytes, at most {most}")
                return
            body = _read(file, length + 4)
        except EOFError:  # gzip without its end
            yield ItemError("truncated file", f"{where}: the compressed stream ends early")
            return
        except (zlib.error, gzip.BadGzipFile) as error:
            yield ItemError("corrupt record", f"{where}: {error}")
            return
        except OSError as error:
            yield ItemError("unreadable", f"{where}: cannot be read ({error})")
            return
        if len(head) < 12 or len(body) < length + 4:
            got = f"{len(body)} of {length + 4} bytes" if len(head) == 12 else "half a header"
            yield ItemError("truncated file", f"{where}: the file ends after {got}")
            return
        if masked_crc32c(body[:length]) != struct.unpack("<I", body[length:])[0]:
            detail = f"{where}: checksum of its {length} bytes is wrong"
            yield ItemError("corrupt record", detail, episodes=1)
        else:
            yield body[:length]
        number += 1


def _read(file: IO[bytes] | gzip.GzipFile, count: int) -> bytes:
    """`count` bytes, fewer at the end of the file."""
    pieces = []
    while count and (piece := file.read(min(count, _PIECE))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def parse_example(record: bytes) -> dict[str, Any]:
    """Feature name -> its values as protobuf keeps them: a list of bytes, int or float.

    A feature without values comes as an empty list. Raises ItemError ('corrupt record') if this is
    no tf.train.Example.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_datasets.proto import tf_example_generated_pb2 as example_pb2

    message = example_pb2.Example()
    try:
        message.ParseFromString(record)
    except DecodeError as error:
        raise ItemError("corrupt record", f"not a tf.train.Example: {error}") from None
    parsed = {}
    for name, feature in message.features.feature.items():
        kind = feature.WhichOneof("kind")
        parsed[name] = getattr(feature, kind).value if kind else []
    return parsed
