"""The rate that a dataset of videos is stored at, and what a user should know about it."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

from data_pipelines.optional import require
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.video.opening import OpenVideo, VideoInfo, open_video
from data_pipelines.readers.video.times import LOOK_AHEAD

_MOST = 1000  # headers that are looked at; of more files evenly many are left out
_FIRST = 120  # packets
_STATED = ("matroska", "flv")
_ALIKE = 0.005  # 29.97 and 30 are one rate


@dataclasses.dataclass(frozen=True)
class Survey:
    """Headers of the files of a source. looked_at: how many, of `files`; damaged ones are left to
    the reader, which says what they are."""

    infos: tuple[VideoInfo, ...]
    looked_at: int
    files: int

    @property
    def rate(self) -> float:
        """Frames per second, where all files agree on one constant rate; else 0."""
        rates = [info.rate for info in self.infos]
        if not rates or not all(info.steady for info in self.infos):
            return 0.0
        return rates[0] if max(rates) - min(rates) <= _ALIKE * min(rates) else 0.0


def survey(files: Sequence[pathlib.Path]) -> Survey:
    """Reads headers, and the first stamps where headers state a rate without having counted."""
    count = min(len(files), _MOST)
    chosen = [files[i * len(files) // count] for i in range(count)]
    infos = []
    for path in chosen:
        try:
            with open_video(path) as video:
                infos.append(video.info._replace(steady=video.info.steady and _even(video)))
        except ItemError:
            continue
    return Survey(tuple(infos), count, len(files))


def _even(video: OpenVideo) -> bool:
    """False if the first frames are not evenly spaced, although the header states one rate.

    Matroska and FLV state a nominal rate, also of recordings whose rate varies. Their clocks round.
    """
    if video.info.container not in _STATED or not video.info.rate:
        return True
    packets = itertools.islice(video.container.demux(video.stream), _FIRST)
    try:
        stamps = sorted(packet.pts for packet in packets if packet.size and packet.pts is not None)
    except require("av").FFmpegError:
        return True  # reading says what is damaged
    # The last ones may wait for pictures that are stored after them.
    stamps = stamps[:-LOOK_AHEAD] or stamps[: len(stamps) // 2]
    clock, step = float(video.stream.time_base), 1 / video.info.rate
    spaces = [(b - a) * clock for a, b in itertools.pairwise(stamps)]
    shown = [space for space in spaces if space > 2 * clock]  # VP8 stores pictures to refer to only
    return all(abs(space - step) <= 2 * clock + step / 4 for space in shown)


def stored_rate(found: Survey, fps: float, stride: int) -> float:
    """Frames per second of what `fps` and `stride` keep; 0 where it is unknown or not constant."""
    if not fps:
        return found.rate / stride
    if all(info.rate >= fps * (1 - _ALIKE) for info in found.infos):
        return fps / stride
    return found.rate / stride  # slower files keep all of their frames


def facts(found: Survey, fps: float) -> dict[str, Any]:
    """For the manifest: {"rates": {"25/s": files, ...}, "notes": [sentence, ...]}, those if any."""
    if not found.infos:
        return {}
    rates = collections.Counter(_name(info) for info in found.infos)
    notes = _notes(found, fps, rates)
    return {"rates": dict(sorted(rates.items()))} | ({"notes": notes} if notes else {})


def _name(info: VideoInfo) -> str:
    if not info.rate:
        return "unknown"
    return f"{info.rate:.6g}/s" if info.steady else "variable"


def _notes(found: Survey, fps: float, rates: collections.Counter) -> list[str]:
    notes = []
    if found.looked_at < found.files:
        notes.append(f"rates are those of {found.looked_at} of {found.files} files")
    if not fps and not found.rate:
        told = ", ".join(f"{name} in {count}" for name, count in rates.most_common(5))
        notes.append(
            f"no one constant rate ({told} files): no rate is stored, so gaps are counted in "
            "frames; for gaps in seconds give --fps"
        )
    slower = [info.rate for info in found.infos if info.rate and info.rate < fps * (1 - _ALIKE)]
    if slower:
        notes.append(
            f"--fps={fps:g} is above the rate of {len(slower)} files ({min(slower):.6g}/s and "
            "more): all of their frames are kept, and none is repeated"
        )
    counted = [info.container for info in found.infos if not info.stamped]
    if counted:
        notes.append(
            f"{len(counted)} files ({', '.join(sorted(set(counted)))}) have no presentation times: "
            "their frames are numbered in order of display, at the rate that they declare"
        )
    return notes
