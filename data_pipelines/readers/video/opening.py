"""Video files: how they are opened, which of their streams is read, what their headers say.

The one place that opens video: an explicit list of containers and of protocols (a playlist named
.mp4 could name other files), one thread, and no picture above a size, whatever a header asks for.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from data_pipelines.optional import require
from data_pipelines.readers.files.opening import unreadable
from data_pipelines.readers.recordings import ItemError

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".gif", ".avi", ".divx"),
    *(".ts", ".mts", ".m2ts", ".m2t", ".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".wmv", ".asf"),
    *(".flv", ".f4v", ".ogv", ".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc"),
    *(".dv", ".ivf", ".mxf"),
)
MAX_PIXELS = 64_000_000  # 8000 x 8000
# Only containers that hold pictures themselves.
_FORMATS = "mov,matroska,gif,avi,mpegts,mpeg,mpegvideo,m4v,asf,flv,ogg,mjpeg,h264,hevc,dv,ivf,mxf"
_OPEN_OPTIONS = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "file",
    "max_pixels": str(MAX_PIXELS),  # also while headers are read, which decodes pictures
}
# Nothing but coded pictures one after the other: stamps are made up by the reader.
_BARE = ("h264", "hevc", "mpegvideo", "m4v", "mjpeg", "dv")
# An index of trusted presentation times: one may seek, and leave out what nobody refers to.
_INDEXED = ("mov", "matroska")
# Streams of broadcasts, whose clocks may start anew.
_BREAKING = ("mpegts", "mpeg", "flv")
# Durations are made from the file's own times, so that they promise nothing.
_ESTIMATED = ("mpegts", "mpeg")
# The duration of a stream is its own, not that of the whole file.
_OWN_DURATION = ("mov", "avi", "mpegts", "mpeg", "gif", "dv", "ivf", "mxf")
# Durations count from time 0, also where the first picture comes later.
_FROM_ZERO = ("matroska", "asf")
_FASTEST = 1000.0  # frames per second; above, a header gives its clock instead of a rate
_DEFAULT_RATE = 25.0  # of decoders, where nothing is declared
_FIXED_RATE = ("mpeg1video", "mpeg2video")  # codecs whose own header states one rate
_STEADY = 0.005  # mean and nominal rate of a constant rate differ by rounding only


class VideoInfo(NamedTuple):
    """What the header says of the stream that is read.

    duration: seconds, 0 if it does not say. rate: mean frames per second, or 0. steady: whether the
    rate is constant. stamped: whether pictures have times of their own; if not, they are counted.
    indexed: whether times may be trusted so far that seeking is exact. container: its short name.
    """

    duration: float
    rate: float
    steady: bool = True
    stamped: bool = True
    indexed: bool = True
    container: str = ""

    @property
    def promises(self) -> bool:
        """Whether `duration` is what the writer promised, so that an end before it is a cut."""
        return self.duration > 0 and self.container not in _ESTIMATED

    @property
    def breaking(self) -> bool:
        """Whether the clock may start anew within the file."""
        return self.container in _BREAKING

    @property
    def counting_rate(self) -> float:
        """Frames per second by which pictures without times are counted."""
        return self.rate or _DEFAULT_RATE


class OpenVideo(NamedTuple):
    """An open container, the stream of it that is read, and its header."""

    path: pathlib.Path
    container: Any
    stream: Any
    info: VideoInfo


@contextlib.contextmanager
def open_video(path: str | os.PathLike) -> Iterator[OpenVideo]:
    """The file, closed again in the end.

    Raises ItemError: the reasons of `opening.unreadable`, 'no video stream', 'unknown codec', 'too
    large'.
    """
    av = require("av")
    path = pathlib.Path(path).absolute()  # so that no name looks like a protocol
    try:
        container = av.open(str(path), options=dict(_OPEN_OPTIONS), **_tags(av))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise unreadable(path, error, "a video that is read here") from error
    with container:
        stream = _best_stream(container, path)
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        yield OpenVideo(path, container, stream, _info(container, stream))


def _tags(av) -> dict[str, str]:
    """Tags are in any encoding, and nobody reads them. Since 19 PyAV decodes them when asked for."""
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def video_info(path: str | os.PathLike) -> VideoInfo:
    """What the header says; raises ItemError as `open_video` does."""
    with open_video(path) as video:
        return video.info


def frame_count(path: str | os.PathLike) -> int:
    """How many pictures the header says that there are, 0 if it does not; raises as `open_video`."""
    with open_video(path) as video:
        return video.stream.frames if video.info.container == "mov" else 0


def _best_stream(container, path: pathlib.Path):
    """The largest picture; of equals the default one, then the first. Never a cover or a poster,
    and nothing that lasts less than half as long as another stream of pictures."""

    def rank(stream) -> tuple:
        kinds, marks = type(stream.disposition), stream.disposition
        still = bool(marks & (kinds.still_image | kinds.timed_thumbnails))
        still = still or 2 * _seconds(stream, longest) < longest
        return still, -_pixels(stream), not marks & kinds.default, stream.index

    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & type(stream.disposition).attached_pic
    ]
    if not streams:
        raise ItemError("no video stream", f"{path}: holds no video stream")
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        raise ItemError("unknown codec", f"{path}: no decoder for its pictures is installed")
    longest = max(_seconds(stream, 0.0) for stream in known)
    best = min(known, key=rank)
    if _pixels(best) > MAX_PIXELS:
        size = f"{best.codec_context.width} x {best.codec_context.height}"
        raise ItemError("too large", f"{path}: {size} pixels; at most {MAX_PIXELS} are read")
    return best


def _seconds(stream, unknown: float) -> float:
    return float(stream.duration * stream.time_base) if stream.duration else unknown


def _pixels(stream) -> int:
    context = stream.codec_context
    return 0 if context is None else context.width * context.height


def _info(container, stream) -> VideoInfo:
    name = container.format.name.split(",")[0]
    stamped = name not in _BARE and name != "avi"
    rate = _mean_rate(stream, name)
    nominal = float(stream.base_rate or 0)
    fixed = not stamped or stream.codec_context.name in _FIXED_RATE
    steady = fixed or not 0 < nominal < _FASTEST or abs(rate / nominal - 1) < _STEADY
    return VideoInfo(
        duration=_duration(container, stream, name),
        rate=rate,
        steady=steady,
        stamped=stamped,
        indexed=name in _INDEXED,
        container=name,
    )


def _mean_rate(stream, name: str) -> float:
    counted = None
    if stream.frames and stream.duration:
        counted = stream.frames / (stream.duration * stream.time_base)
    declared = (stream.average_rate, counted, stream.guessed_rate, stream.base_rate)
    if name in _BARE:  # their mean rate is a default; the nominal one may come from the pictures
        declared = (stream.guessed_rate, stream.base_rate, stream.average_rate)
    return next((float(rate) for rate in declared if rate and 0 < rate < _FASTEST), 0.0)


def _duration(container, stream, name: str) -> float:
    if name == "avi" and stream.frames and stream.average_rate:
        return float(stream.frames / stream.average_rate)  # also where the end is cut off
    if name not in _FROM_ZERO and stream.duration and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    return _whole_duration(container, name)


def _whole_duration(container, name: str) -> float:
    """Seconds from the first start to the last end of all streams; 0 if the header is silent."""
    before = max(0, container.start_time or 0) if name in _FROM_ZERO else 0
    return max(0.0, ((container.duration or 0) - before) / 1e6)


def whole_file_duration(video: OpenVideo) -> float | None:
    """Seconds of the longest of all streams, where nothing tells how long the pictures last.

    None where `info.duration` is that of the pictures.
    """
    if video.stream.duration and video.info.container in _OWN_DURATION:
        return None
    return _whole_duration(video.container, video.info.container)


def pixel_aspect(stream: Any) -> float:
    """Width over height of one pixel as players show it; 1 where nothing sensible is said."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 1 / 8 <= ratio <= 8 else 1.0
