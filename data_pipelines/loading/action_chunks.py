"""Which records hold the next H actions or frames of an episode: a record ends before it does."""

from __future__ import annotations

from typing import NamedTuple

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import AGAIN
from data_pipelines.loading.windows import ClipReader


class ChunkPiece(NamedTuple):
    """Items first .. first+count-1 of a record, which are place .. place+count-1 of a chunk."""

    record: int
    first: int
    place: int
    count: int


def chunk_pieces(reader: ClipReader, record: int, offset: int, horizon: int) -> list[ChunkPiece]:
    """The pieces of the actions t .. t+horizon-1, t being the time `offset` frames into a record.

    They end with the episode: an episode of L frames has L - 1 actions. Each record is named once.
    """
    _, start, length, episode_length = reader.index[record].tolist()
    begin = at = start + offset
    end = min(begin + horizon, episode_length - 1)
    pieces = []
    while True:
        stop = min(end, start + length - 1)
        pieces.append(ChunkPiece(record, at - start, at - begin, stop - at))
        if stop == end:
            return pieces
        at = stop
        record = _last_with(reader, record, at)
        _, start, length, _ = reader.index[record].tolist()


def frame_pieces(reader: ClipReader, record: int, offset: int, count: int) -> list[ChunkPiece]:
    """The pieces of the frames t .. t+count-1, t being the time `offset` frames into a record.

    They end with the episode. A record that holds an action holds the frames on both sides of it.
    """
    *pieces, last = chunk_pieces(reader, record, offset, count - 1)
    return [*pieces, last._replace(count=last.count + 1)]


def _last_with(reader: ClipReader, record: int, time: int) -> int:
    """The last record that holds the action at `time`, of the episode of an earlier record."""
    episode, start = reader.index[record, :2].tolist()
    later, inside = divmod(time - start, reader.spec.clip_stride)
    found = record + later
    if found >= len(reader) or reader.index[found, :2].tolist() != [episode, time - inside]:
        raise DataError(
            f"{reader.where(record)}: the record with frame {time} of that episode does not follow "
            f"it in the index; {AGAIN}"
        )
    return found
