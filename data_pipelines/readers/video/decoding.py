"""The frames of video files: by time, in order of display, in bounded memory.

Frames that are not wanted are not converted, and where no other frame refers to them they are not
decoded either.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.optional import require
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.video.asf_header import promised_bytes
from data_pipelines.readers.video.opening import (
    OpenVideo,
    VideoInfo,
    open_video,
    pixel_aspect,
    video_info,
    whole_file_duration,
)
from data_pipelines.readers.video.scaling import Scaler
from data_pipelines.readers.video.times import Clock, planned, stamp_rounding, tick_of

__all__ = ["VideoInfo", "frames", "length_of", "pictures", "timed_frames", "video_info"]


def frames(path: str | os.PathLike, **options: Any) -> Iterator[np.ndarray]:
    """Frames uint8 (size, size, 3) of a video file; options and errors as in `timed_frames`."""
    for _, frame in timed_frames(path, **options):
        yield frame


def timed_frames(
    path: str | os.PathLike,
    *,
    size: int,
    fit: str = "crop",
    fps: float = 0.0,
    stride: int = 1,
    start: float = 0.0,
    stop: float | None = None,
    facts: dict[str, Any] | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """(seconds from the start of the video, frame) of the seconds start <= t < stop.

    Frames are uint8 (size, size, 3). With `fps`, the first frame at or after each tick
    start + k / fps; 0 keeps all. Of those, every `stride`-th. facts: gets "native_fps" (where the
    header says it) and, unless the file's own stamps were used, "times".

    Raises ItemError with the frames that are lost, where the header tells: the reasons of
    `open_video`, 'corrupt video', 'truncated video', 'too short' (no frame at all).
    """
    facts, due, count = {} if facts is None else facts, 0, 0
    with open_video(path) as video:
        scale = Scaler(size, fit, pixel_aspect(video.stream))
        rounding = stamp_rounding(video)
        try:
            for seconds, picture in _pictures(video, fps, start, stop, facts):
                tick = tick_of(seconds + rounding, fps, start, stop)
                if tick is None or (fps and tick < due):
                    continue
                due = tick + 1
                if count % stride == 0:
                    yield seconds, scale(picture)
                count += 1
        except ItemError as error:
            error.frames = _expected(video.info, fps, stride, start, stop)
            raise
    if not count:
        span = f"{start:g} s to {'the end' if stop is None else f'{stop:g} s'}"
        raise ItemError("too short", f"{path}: no frame from {span}")


def pictures(
    path: str | os.PathLike, *, start: float = 0.0, stop: float | None = None
) -> Iterator[tuple[float, Any]]:
    """(seconds from the start of the video, av.VideoFrame) of start <= t < stop, as decoded."""
    with open_video(path) as video:
        for seconds, picture in _pictures(video, 0.0, start, stop, {}):
            if tick_of(seconds, 0.0, start, stop) is not None:
                yield seconds, picture


def length_of(path: str | os.PathLike) -> tuple[VideoInfo, float]:
    """The header, and how many seconds the pictures last.

    Where the header does not tell, all packets are looked at, without decoding them. Raises
    ItemError as `open_video` does.
    """
    with open_video(path) as video:
        info = video.info
        known = whole_file_duration(video) is None or len(video.container.streams) == 1
        if known and info.duration and not info.breaking:
            return info, info.duration
        clock, count, end = Clock(video, from_start=True), 0, 0.0
        try:
            for packet in video.container.demux(video.stream):
                count += bool(packet.size)
                if packet.size and packet.pts is not None and info.stamped:
                    end = max(end, clock.of_stamp(packet.pts + (packet.duration or 0)))
        except require("av").FFmpegError:
            pass  # a damaged end; reading the pieces tells
        return info, max(end, count / info.counting_rate) if info.steady else end


def _expected(info: VideoInfo, fps, stride, start, stop) -> int | None:
    """How many frames a stretch gives if all is well; None if the header does not tell."""
    end = info.duration if stop is None else stop
    rate = min(fps, info.rate) if fps else info.rate
    return round((end - start) * rate / stride) if rate and end > start else None


def _pictures(video: OpenVideo, fps, start, stop, facts) -> Iterator[tuple[float, Any]]:
    """(seconds, av.VideoFrame) around [start, stop), without frames that surely are not wanted.

    One thread: converting runs one process per core, and frames per CPU second are the same with
    one thread and with several (measured; benchmark_conversion.py).
    """
    seeks = start > 0 and video.info.indexed
    clock = Clock(video, from_start=not seeks)
    if video.info.rate:
        facts["native_fps"] = round(video.info.rate, 3)
    if seeks:
        _seek(video, start, clock)
    rounding = stamp_rounding(video)
    decoder = _Decoder(
        video, clock, lambda seconds: tick_of(seconds + rounding, fps, start, stop), fps > 0
    )
    shown = iter(decoder)
    first = list(itertools.islice(shown, clock.proving))
    clock.judge(first)
    noted = None
    for picture in itertools.chain(_emptied(first), shown):
        seconds = clock.seconds(picture)
        if clock.mended != noted:
            noted = clock.mended
            facts |= {"times": clock.note()} if clock.note() else {}
        if stop is not None and seconds >= stop:
            return
        yield seconds, picture
    decoder.check_end(stop)


def _emptied(held: list[Any]) -> Iterator[Any]:
    """The elements, none of which is held longer than it is needed."""
    held.reverse()
    while held:
        yield held.pop()


class _Decoder:
    """Iterates over the pictures of a video in order of display.

    reached: seconds up to which packets were there.
    """

    def __init__(self, video: OpenVideo, clock: Clock, wanted, skips: bool):
        self.video, self.clock = video, clock
        self.context = video.stream.codec_context
        self.reached = self.reached_by_all = 0.0
        packets = self._packets()
        if skips and video.info.indexed:
            self.packets = planned(packets, clock, wanted)
        else:
            self.packets = ((packet, True) for packet in packets)

    def _packets(self) -> Iterator[Any]:
        """The packets that hold something; notes how far all streams of the file go."""
        container, stream = self.video.container, self.video.stream
        alone = whole_file_duration(self.video) is None
        for packet in container.demux(stream) if alone else container.demux():
            if not packet.size:  # the end, or a chunk that repeats the picture before
                continue
            if not alone:
                self._note_end(packet)
            if packet.stream_index == stream.index:
                yield packet

    def _note_end(self, packet) -> None:
        """How far the packets of any stream go, from where the first of them starts."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            end = float((stamp + (packet.duration or 0)) * packet.stream.time_base)
            start = (self.video.container.start_time or 0) / 1e6
            self.reached_by_all = max(self.reached_by_all, end - start)

    def __iter__(self) -> Iterator[Any]:
        av = require("av")
        decoding_all, packet = None, None
        try:
            for packet, needed in self.packets:
                self._note_reached(packet)
                if needed != decoding_all:
                    self.context.skip_frame = "DEFAULT" if needed else "NONREF"
                    decoding_all = needed
                self.clock.sent(packet)
                yield from self._decoded(packet)
            yield from self._decoded(None)
        except (av.FFmpegError, EOFError) as error:
            raise ItemError(
                "truncated video" if self._exhausted() else "corrupt video",
                f"{self.video.path}: cannot be decoded after {self.reached:.2f} s ({error})",
            ) from error

    def _decoded(self, packet) -> Iterator[Any]:
        for picture in self.context.decode(packet):
            if picture.is_corrupt:
                raise ItemError(
                    "corrupt video", f"{self.video.path}: damaged at {self.reached:.2f} s"
                )
            yield picture

    def _note_reached(self, packet) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            end = self.clock.of_stamp(stamp + (packet.duration or 0))
            self.reached = max(self.reached, end)

    def _exhausted(self) -> bool:
        """True if nothing but the end of the file follows."""
        try:
            return next(self.packets, None) is None
        except Exception:  # whatever it is, nothing more can be read
            return True

    def check_end(self, stop: float | None) -> None:
        """Raises ItemError if the packets end clearly before the time that the header promises.

        Sound may last longer than the pictures: where only the duration of the whole file is known,
        some stream must last that long.
        """
        info, whole = self.video.info, whole_file_duration(self.video)
        if info.container == "asf" and stop is None:
            self._check_size()
        if not info.promises:
            return
        if whole is None:
            reached, expected = self.reached, info.duration
        else:
            reached, expected = max(self.reached, self.reached_by_all), whole
        expected = min(expected, math.inf if stop is None else stop)
        tolerance = min(1.0, max(0.05 * expected, 3 / (info.rate or 10)))
        if reached + tolerance < expected < math.inf:
            raise ItemError(
                "truncated video",
                f"{self.video.path}: ends after {reached:.2f} s of {expected:.2f} s",
            )

    def _check_size(self) -> None:
        size, promised = self.video.path.stat().st_size, promised_bytes(self.video.path)
        if promised is not None and size < 0.99 * promised:
            raise ItemError(
                "truncated video", f"{self.video.path}: {size} bytes of {promised} that it had once"
            )


def _seek(video: OpenVideo, start: float, clock: Clock) -> None:
    """Moves to a key frame at or before `start`; containers index by decoding time, hence steps."""
    av = require("av")
    container, stream = video.container, video.stream
    for back in itertools.chain((0.0, 1.0, 4.0, 16.0), (math.inf,)):
        target = int(max(0.0, start - back) / stream.time_base) + clock.origin
        try:
            container.seek(target, stream=stream, backward=True)
            first = next(container.demux(stream))
        except (av.FFmpegError, StopIteration):
            continue
        if first.pts is not None and clock.of_stamp(first.pts) <= start:
            container.seek(target, stream=stream, backward=True)
            return
    try:
        container.seek(clock.origin, stream=stream, backward=True)
    except av.FFmpegError as error:
        detail = f"{video.path}: its beginning cannot be found again ({error})"
        raise ItemError("corrupt video", detail) from error
