"""Long videos cut into pieces of equal length, each of which becomes an episode.

Piece k shows the seconds k * length <= t < (k + 1) * length; a rest of less than half a length
belongs to the last one. Pieces share no frames. With three or more files the pieces of a file stay
together in one split. With one or two, the splits are blocks of time, train first and test last,
and the piece between two blocks is left out, so that no frame of one split is next to one of
another.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_pipelines.conversion.splits import HELD_OUT, SPLITS
from data_pipelines.errors import DataError
from data_pipelines.readers.recordings import Item, ItemError, Recording, Skipped
from data_pipelines.readers.video.decoding import frames, length_of, timed_frames
from data_pipelines.readers.video.opening import VideoInfo

_BETWEEN = "between splits"
_ROUNDING = 1e-6  # seconds
_MOST = 100_000  # pieces of a file; no recording is that long, but a header may say so


@dataclasses.dataclass(frozen=True)
class Piece:
    """One stretch of a file. stop: seconds, None for the rest; split: None with many files."""

    file: str
    number: int
    start: float
    stop: float | None
    split: str | None = None

    @property
    def name(self) -> str:
        return f"{self.file}:{self.number:04d}"


def cut(
    root: pathlib.Path, files: Sequence[pathlib.Path], length: float, *, kept_whole: int
) -> tuple[list[Item], list[Skipped]]:
    """The items of `files` (below `root`) in pieces of `length` seconds.

    kept_whole: how many further episodes the source holds. One item is one piece where seeking is
    exact, else a whole file. Raises DataError if one or two files give too few pieces.
    """
    pieces, infos, skipped = [], {}, []
    for path in files:
        name = str(path.relative_to(root))
        try:
            info, duration = length_of(path)
            pieces += _pieces(name, duration, length)
        except ItemError as error:
            skipped.append(Skipped(name, error.reason, str(error), episodes=None))
        else:
            infos[name] = info
    if len(infos) + kept_whole < 3:
        pieces, left_out = _in_blocks(pieces, length)
        skipped += left_out
    return _items(root, pieces, infos), skipped


def _pieces(name: str, duration: float, length: float) -> list[Piece]:
    count = max(1, int(duration / length + 0.5))
    if count > _MOST:
        raise ItemError(
            "too long",
            f"{name}: {duration:g} s by its header; --cut={length:g} gives {count} pieces",
        )
    stops = [(k + 1) * length for k in range(count - 1)]
    return [Piece(name, k, k * length, stop) for k, stop in enumerate([*stops, None])]


def _in_blocks(pieces: list[Piece], length: float) -> tuple[list[Piece], list[Skipped]]:
    held = max(1, round(HELD_OUT * len(pieces)))
    ends = list(itertools.accumulate((len(pieces) - 2 * held - 2, 1, held, 1, held)))
    if ends[0] < 1:
        raise DataError(
            f"--cut={length:g} gives {len(pieces)} pieces; one or two files need at least five: "
            "one each for train, validation and test, and two left out between them. Give a "
            "smaller --cut, or more files"
        )
    kinds = (SPLITS[0], None, SPLITS[1], None, SPLITS[2])
    kept, skipped = [], []
    for place, piece in enumerate(pieces):
        split = kinds[next(k for k, end in enumerate(ends) if place < end)]
        if split is None:
            detail = f"{piece.name}: left out, since its neighbours are in two splits"
            skipped.append(Skipped(piece.name, _BETWEEN, detail, expected=True))
        else:
            kept.append(dataclasses.replace(piece, split=split))
    return kept, skipped


def _items(
    root: pathlib.Path, pieces: Sequence[Piece], infos: Mapping[str, VideoInfo]
) -> list[Item]:
    items = []
    for name, group in itertools.groupby(pieces, lambda piece: piece.file):
        of_file = [dataclasses.asdict(piece) for piece in group]
        size = (root / name).stat().st_size
        if infos[name].indexed:
            share = max(1, size // len(of_file))
            items += [Item(Piece(**one).name, {"pieces": [one]}, share) for one in of_file]
        else:
            items.append(Item(name, {"pieces": of_file}, size, episodes=len(of_file)))
    return items


def read_pieces(
    root: pathlib.Path, item: Item, dataset: str, chosen: Mapping[str, Any]
) -> Iterator[Recording | Skipped]:
    """The recordings of an item of `cut`. chosen: size, fit, fps and stride."""
    pieces = [Piece(**piece) for piece in item.payload["pieces"]]
    path = root / pieces[0].file
    if item.name == pieces[0].name:
        facts: dict[str, Any] = {}
        span = {"start": pieces[0].start, "stop": pieces[0].stop}
        yield _recording(pieces[0], dataset, frames(path, **span, **chosen, facts=facts), facts)
    else:
        yield from _in_one_go(path, pieces, dataset, chosen)


def _in_one_go(
    path: pathlib.Path, pieces: Sequence[Piece], dataset: str, chosen: Mapping[str, Any]
) -> Iterator[Recording | Skipped]:
    """Where one may not seek: every piece while the file is decoded from its start."""
    facts: dict[str, Any] = {}
    ahead = _Ahead(timed_frames(path, **chosen, facts=facts))
    for place, piece in enumerate(pieces):
        for _ in ahead.until(piece.start):
            pass  # left out between two splits
        if ahead.ended:
            return  # sooner than the header says, and nothing is damaged
        yield _recording(piece, dataset, ahead.until(piece.stop), facts)
        rest = pieces[place + 1 :]
        if ahead.failure is not None and rest:
            detail = f"{ahead.failure}; with it the {len(rest)} pieces from {rest[0].name} on"
            yield Skipped(rest[0].name, ahead.failure.reason, detail, episodes=len(rest))
        if ahead.failure is not None:
            return


class _Ahead:
    """Timed frames, taken up to one time after the other. failure: what ended them early."""

    def __init__(self, timed: Iterator[tuple[float, Any]]):
        self._timed, self._next = timed, None
        self.failure: ItemError | None = None
        self.ended = False

    def until(self, stop: float | None) -> Iterator[Any]:
        """The frames before `stop`; raises the ItemError that decoding raises."""
        while self._look() and (stop is None or self._next[0] < stop - _ROUNDING):
            frame, self._next = self._next[1], None
            yield frame

    def _look(self) -> bool:
        """Whether there is a next frame."""
        try:
            self._next = self._next or next(self._timed, None)
        except ItemError as error:
            # How much is lost is known by pieces, not by the frames of the file.
            self.failure = ItemError(error.reason, str(error))
            raise self.failure from error
        self.ended = self._next is None
        return not self.ended


def _recording(
    piece: Piece, dataset: str, shown: Iterator[Any], facts: Mapping[str, Any]
) -> Recording:
    """facts: of the decoder; known, and stored, once the frames are read."""
    metadata = {"file": piece.file, "start_sec": round(piece.start, 4)}

    def noted() -> Iterator[Any]:
        yield from shown
        metadata.update(facts)

    return Recording(
        piece.name,
        frames={dataset: noted()},
        group=piece.file if piece.split is None else piece.name,
        split=piece.split,
        metadata=metadata,
    )
