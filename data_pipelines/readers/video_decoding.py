"""Video files to square RGB frames with PyAV: upright, by time stamp, in bounded memory.

The picture is cropped and shrunk by libswscale before it becomes RGB, so colours are converted at
the small size only. Frames that are not wanted are not converted, and where no other frame refers
to them they are not decoded either.
"""

from __future__ import annotations

import collections
import fractions
import itertools
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.framing import crop_box
from data_pipelines.optional import require
from data_pipelines.recordings import ItemError

VIDEO_SUFFIXES = (".mp4", ".webm", ".gif", ".mkv", ".mov", ".avi", ".m4v")
# Only containers that hold pictures themselves: a playlist named .mp4 could name other files.
_OPEN_OPTIONS = {"format_whitelist": "mov,matroska,gif,avi", "protocol_whitelist": "file"}
_LOOK_AHEAD = 32  # packets; H.264 and HEVC reorder at most 16 pictures
_CLOCK = fractions.Fraction(1, 1000)  # of filter graphs, which must have one; nobody reads it
_ROUNDING = 1e-6  # ticks; time stamps are rounded to the container's time base


class VideoInfo(NamedTuple):
    """duration: seconds, 0 if the file does not say. rate: mean frames per second, or 0."""

    duration: float
    rate: float


def video_info(path: str | pathlib.Path) -> VideoInfo:
    """What the header says; raises ItemError ('unreadable', 'no video stream')."""
    with _opened(path) as container:
        stream = _video_stream(container, path)
        return VideoInfo(_duration(container, stream), float(stream.average_rate or 0))


def frames(
    path: str | pathlib.Path,
    *,
    size: int,
    fit: str = "crop",
    fps: float = 0.0,
    stride: int = 1,
    start: float = 0.0,
    stop: float | None = None,
) -> Iterator[np.ndarray]:
    """Frames uint8 (size, size, 3) of the seconds start <= t < stop of a video file.

    With `fps`, the first frame at or after each tick start + k / fps; 0 keeps all. Of those, every
    `stride`-th. Raises ItemError: 'unreadable', 'no video stream', 'corrupt video', 'truncated
    video', 'too short' (no frame at all).
    """
    for _, frame in timed_frames(
        path, size=size, fit=fit, fps=fps, stride=stride, start=start, stop=stop
    ):
        yield frame


def timed_frames(
    path: str | pathlib.Path,
    *,
    size: int,
    fit: str = "crop",
    fps: float = 0.0,
    stride: int = 1,
    start: float = 0.0,
    stop: float | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """(seconds from the start of the video, frame) for every frame of `frames`."""
    scale, due, count = _Scaler(size, fit), 0, 0
    with _opened(path) as container:
        for seconds, picture in _pictures(container, path, fps, start, stop):
            tick = _tick(seconds, fps, start, stop)
            if tick is None or (fps and tick < due):
                continue
            due = tick + 1
            if count % stride == 0:
                yield seconds, scale(picture)
            count += 1
    if not count:
        span = f"{start:g} s to {'the end' if stop is None else f'{stop:g} s'}"
        raise ItemError("too short", f"{path}: no frame from {span}")


def _tick(seconds: float | None, fps: float, start: float, stop: float | None) -> int | None:
    """The tick of a time; None outside of start <= seconds < stop. Without fps always 0."""
    rate = fps or 1000.0
    position = (seconds - start) * rate + _ROUNDING
    if position < 0 or (stop is not None and (seconds - stop) * rate + _ROUNDING >= 0):
        return None
    return int(position) if fps else 0


def _opened(path: str | pathlib.Path):
    av = require("av")
    try:
        return av.open(str(path), options=_OPEN_OPTIONS)
    except (av.FFmpegError, OSError) as error:
        raise ItemError("unreadable", f"{path}: cannot be opened as a video ({error})") from error


def _video_stream(container, path):
    for stream in container.streams.video:
        if not stream.disposition & type(stream.disposition).attached_pic:  # a cover of music
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            return stream
    raise ItemError("no video stream", f"{path}: holds no video stream")


def _duration(container, stream) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6


def _pictures(container, path, fps: float, start: float, stop: float | None):
    """(seconds, av.VideoFrame) around [start, stop), without frames that surely are not wanted.

    One thread: converting runs one process per core, and frames per CPU second are the same with
    one thread and with several (measured; benchmark_conversion.py).
    """
    av = require("av")
    stream = _video_stream(container, path)
    base, first_stamp = float(stream.time_base), stream.start_time or 0
    rate = float(stream.average_rate or 0)
    context, reached, counted, decoding_all = stream.codec_context, 0.0, 0, None

    def seconds_of(stamp: int | None) -> float | None:
        return None if stamp is None else (stamp - first_stamp) * base

    def tick_of(packet) -> int | None:
        seconds = seconds_of(packet.pts)
        return None if seconds is None else _tick(seconds, fps, start, stop)

    packets = None
    try:
        if start > 0:
            _seek(container, stream, start, seconds_of)
        packets = _planned(container.demux(stream), tick_of, _LOOK_AHEAD if fps else 0)
        for packet, needed in packets:
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None:
                reached = max(reached, seconds_of(stamp + (packet.duration or 0)))
            if needed != decoding_all:
                context.skip_frame = "DEFAULT" if needed else "NONREF"
                decoding_all = needed
            for picture in context.decode(packet if packet.size else None):
                if picture.is_corrupt:
                    raise ItemError("corrupt video", f"{path}: damaged at {reached:.2f} s")
                seconds = seconds_of(picture.pts)
                if seconds is None:  # old AVI files have no time stamps
                    seconds = counted / rate if rate else float(counted)
                counted += 1
                if stop is not None and seconds >= stop:
                    return
                yield seconds, picture
    except (av.FFmpegError, EOFError) as error:
        at_end = packets is None or _exhausted(packets)
        raise ItemError(
            "truncated video" if at_end else "corrupt video",
            f"{path}: cannot be decoded after {reached:.2f} s ({error})",
        ) from error
    _check_end(path, reached, min(_duration(container, stream), stop or math.inf), rate)


def _planned(
    packets, tick_of: Callable[[Any], int | None], look_ahead: int
) -> Iterator[tuple[Any, bool]]:
    """(packet, needed): a packet is needed unless another one shows an earlier picture of its tick.

    Packets come in decoding order, so the earlier picture may come later; of packets that are not
    in sight yet, the packet is assumed to be needed, which costs time and nothing else.
    """
    waiting: collections.deque = collections.deque()  # (packet, its tick)
    earliest: dict[int, int] = {}  # tick -> lowest time stamp seen

    def judged(packet, tick) -> tuple[Any, bool]:
        if packet.pts is None:
            return packet, True
        return packet, tick is not None and earliest.get(tick, packet.pts) >= packet.pts

    for packet in packets:
        tick = tick_of(packet)
        waiting.append((packet, tick))
        if look_ahead and tick is not None:
            earliest[tick] = min(earliest.get(tick, packet.pts), packet.pts)
            if len(earliest) > 4 * look_ahead:
                del earliest[next(iter(earliest))]
        if len(waiting) > look_ahead:
            yield judged(*waiting.popleft())
    for packet, tick in waiting:
        yield judged(packet, tick)


def _seek(container, stream, start: float, seconds_of) -> None:
    """Moves to a key frame at or before `start`; containers index by decoding time, hence steps."""
    av = require("av")
    for back in itertools.chain((0.0, 1.0, 4.0, 16.0), (math.inf,)):
        target = int(max(0.0, start - back) / stream.time_base) + (stream.start_time or 0)
        try:
            container.seek(target, stream=stream, backward=True)
            first = next(container.demux(stream))
        except (av.FFmpegError, StopIteration):
            continue
        if first.pts is not None and seconds_of(first.pts) <= start:
            container.seek(target, stream=stream, backward=True)
            return
    container.seek(stream.start_time or 0, stream=stream, backward=True)


def _exhausted(packets) -> bool:
    """True if nothing but the end of the file follows."""
    try:
        return next(packets)[0].size == 0
    except Exception:  # whatever it is, nothing more can be read
        return True


def _check_end(path, reached: float, expected: float, rate: float) -> None:
    """Raises ItemError if the packets end clearly before the time that the header promises."""
    tolerance = min(1.0, max(0.05 * expected, 3 / (rate or 10)))
    if reached + tolerance < expected < math.inf:
        raise ItemError(
            "truncated video", f"{path}: ends after {reached:.2f} s of {expected:.2f} s"
        )


class _Scaler:
    """av.VideoFrame -> uint8 (size, size, 3), upright; one filter graph per kind of input."""

    def __init__(self, size: int, fit: str):
        self.size, self.fit = size, fit
        self.kind, self.graph, self.matrix = None, None, None

    def __call__(self, picture) -> np.ndarray:
        kind = (picture.width, picture.height, picture.format.name)
        if kind != self.kind:
            self.kind, self.graph = kind, self._build(*kind)
            # Once: looking at side data ties a frame into a cycle, which then waits for the
            # garbage collector.
            self.matrix = _display_matrix(picture)
        self.graph.push(picture)
        frame = np.empty((self.size, self.size, 3), np.uint8)
        for plane, channel in zip(self.graph.pull().planes, (1, 2, 0), strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(self.size, plane.line_size)
            frame[:, :, channel] = rows[:, : self.size]
        return _upright(frame, self.matrix)

    def _build(self, width: int, height: int, pixels: str):
        av = require("av")
        graph = av.filter.Graph()
        graph.threads = 1
        left, top, right, bottom = crop_box(width, height, self.fit)
        # Area averages all pixels when shrinking; when enlarging it would repeat them.
        method = "area" if min(right - left, bottom - top) >= self.size else "bilinear"
        chain = [
            graph.add_buffer(width=width, height=height, format=pixels, time_base=_CLOCK),
            graph.add("crop", f"{right - left}:{bottom - top}:{left}:{top}"),
            graph.add("scale", f"{self.size}:{self.size}:flags={method}"),
            # In planes: with rgb24 swscale gives colours half the resolution of the small frame,
            # or is slow.
            graph.add("format", "gbrp"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*chain).configure()
        return graph


def _display_matrix(picture) -> np.ndarray | None:
    """int32 (9,): how players turn and mirror the picture, or None."""
    data = picture.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32)


def _upright(frame: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """The square frame as players show it; the matrix is rounded to quarter turns and mirrors.

    The matrix (a b u; c d v; x y w, ISO/IEC 14496-12) maps (x, y) to (a x + c y, b x + d y).
    Squares may be turned after cutting and shrinking, which commute with it.
    """
    if matrix is None:
        return frame
    a, b, c, d = matrix[[0, 1, 3, 4]].tolist()
    if abs(a) < abs(b):
        frame, a, d = frame.swapaxes(0, 1), c, b
    if a < 0:
        frame = frame[:, ::-1]
    if d < 0:
        frame = frame[::-1]
    return np.ascontiguousarray(frame)
