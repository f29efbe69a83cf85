"""The times of decoded pictures: in order of display, strictly increasing, and which are wanted.

Containers differ in what their times mean. A stamp of mp4 or Matroska is the time of display. AVI
numbers its chunks in the order of decoding; files of bare pictures have no times at all; and old
or broken writers repeat stamps or run backwards. Decoders hand out pictures in order of display, so
that order is what is trusted: a time that does not advance is counted on from the one before.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from data_pipelines.readers.video.opening import OpenVideo

LOOK_AHEAD = 32  # packets; H.264 and HEVC reorder at most 16 pictures
_ROUNDING = 1e-6  # ticks; time stamps are rounded to the container's time base
_PROVING = 12  # pictures; in files with bad stamps every second or third does not advance
_PROVING_PIXELS = 50_000_000  # of all of them together, since they are held in memory
_BREAK = 10.0  # seconds; a longer jump is a break in the clock of a transport stream


def tick_of(seconds: float, fps: float, start: float, stop: float | None) -> int | None:
    """The tick of a time; None outside of start <= seconds < stop. Without fps always 0."""
    rate = fps or 1000.0
    position = (seconds - start) * rate + _ROUNDING
    if position < 0 or (stop is not None and (seconds - stop) * rate + _ROUNDING >= 0):
        return None
    return int(position) if fps else 0


def stamp_rounding(video: OpenVideo) -> float:
    """Seconds by which a stamp may be too early, since it is rounded to the container's clock.

    Matroska and FLV count milliseconds: at 30/s the second picture is stamped 33 ms, just before
    the tick that it belongs to. 0 where the clock is about as coarse as the frames, and where
    pictures are numbered: those times are exact.
    """
    clock, step = float(video.stream.time_base), 1 / video.info.counting_rate
    return clock / 2 if video.info.stamped and 4 * clock <= step else 0.0


class Clock:
    """Seconds from the start of a video for each picture that its decoder hands out.

    Call `sent` for every packet before it is decoded, `judge` once with the first `proving`
    pictures, and `seconds` for every picture in order. mended: how many times did not advance, or
    were missing, and were counted on.
    """

    def __init__(self, video: OpenVideo, *, from_start: bool):
        self.info = video.info
        self.base = float(video.stream.time_base)
        self.origin = video.stream.start_time or 0
        context = video.stream.codec_context
        self.reorders = bool(context.has_b_frames)
        pixels = max(1, context.width * context.height)
        # Where pictures are shown in another order than they are decoded, stamps are often bad.
        proves = self.reorders and self.info.indexed and self.info.steady
        self.proving = min(_PROVING, max(4, _PROVING_PIXELS // pixels)) if proves else 0
        self._counts = False
        self.step = 1 / self.info.counting_rate
        self.mended = self.shown = 0
        self._from_start, self._last = from_start, None
        self._sent: collections.deque[int] = collections.deque(maxlen=LOOK_AHEAD)

    @property
    def trusted(self) -> bool:
        """Whether the stamps of packets tell when their pictures are shown."""
        return self.info.indexed and not self.mended and self.shown >= self.proving

    def judge(self, first: Sequence[Any]) -> None:
        """Counts all pictures if the stamps of the first ones are not in the order of display.

        A stamp that fails later is mended alone.
        """
        stamps = [picture.pts for picture in first]
        known = [stamp for stamp in stamps if stamp is not None]
        if len(known) < 2 or all(a < b for a, b in itertools.pairwise(known)) and known == stamps:
            return
        spacing = (max(known) - min(known)) * self.base / (len(stamps) - 1)
        # Headers that promise a steady rate may be wrong, and then the stamps are better.
        self._counts = 1 / 3 < spacing / self.step < 3

    def sent(self, packet: Any) -> None:
        """AVI: the n-th picture that is shown gets the n-th number of those that were sent."""
        if self.info.container == "avi" and packet.dts is not None:
            self._sent.append(packet.dts)

    def of_stamp(self, stamp: int | None) -> float | None:
        """Seconds of a presentation time stamp; None without one."""
        return None if stamp is None else (stamp - self.origin) * self.base

    def seconds(self, picture: Any) -> float:
        stamp = self._stamp(picture)
        self.shown += 1
        if stamp is not None and self._last is None and self._from_start:
            # Nothing is shown before the start; what begins in the middle of a broadcast starts
            # with the first picture that can be decoded.
            self.origin = min(self.origin, stamp) if self.info.indexed else stamp
        self._last = self._advanced(self.of_stamp(stamp), picture)
        return self._last

    def _stamp(self, picture) -> int | None:
        if self.info.stamped:
            return picture.pts
        return self._sent.popleft() if self._sent else None

    def _step_after(self, picture) -> float:
        """How far to count on: the nominal step, or less where the picture is shown for less."""
        shown = (picture.duration or 0) * self.base
        return min(shown, self.step) if shown > 0 else self.step

    def _advanced(self, time: float | None, picture) -> float:
        if self._last is None:
            return time or 0.0
        if self._counts:
            self.mended += 1
            return self._last + self.step
        due = self._last + self._step_after(picture)
        if time is None or time <= self._last:
            self.mended += 1
        if time is not None and self.info.breaking and abs(time - due) > _BREAK:
            self.origin += round((time - due) / self.base)
            self.mended += time > self._last
            return due
        return due if time is None or time <= self._last else time

    def note(self) -> str:
        """How the times were made, if not by the file's own stamps; for people."""
        rate = f"{self.info.counting_rate:.6g}/s"
        if not self.info.stamped:
            return f"frame numbers at {rate}: the file has no time stamps"
        if self._counts:
            return f"frame numbers at {rate}: the time stamps are not those of display"
        if self.mended:
            bad = f"{self.mended} were missing or did not advance"
            return f"time stamps; {bad}, counted on at {rate}"
        return ""


def planned(
    packets: Iterable[Any], clock: Clock, wanted: Callable[[float], int | None]
) -> Iterator[tuple[Any, bool]]:
    """(packet, needed): a packet is needed unless another one shows an earlier picture of its tick.

    wanted: seconds -> tick, None if outside. Packets come in decoding order, so the earlier picture
    may come later; of packets that are not in sight yet, the packet is assumed to be needed, which
    costs time and nothing else. Where the decoder says that pictures are reordered, stamps that do
    not show it are not believed.
    """
    waiting: collections.deque = collections.deque()  # (packet, its tick)
    earliest: dict[int, int] = {}  # tick -> lowest time stamp seen
    latest, believed = None, not clock.reorders

    def judged(packet, tick) -> tuple[Any, bool]:
        if packet.pts is None or not believed or not clock.trusted:
            return packet, True
        return packet, tick is not None and earliest.get(tick, packet.pts) >= packet.pts

    for packet in packets:
        seconds = clock.of_stamp(packet.pts)
        tick = None if seconds is None else wanted(seconds)
        waiting.append((packet, tick))
        if packet.pts is not None:
            believed = believed or (latest is not None and packet.pts < latest)
            latest = packet.pts if latest is None else max(latest, packet.pts)
        if tick is not None:
            earliest[tick] = min(earliest.get(tick, packet.pts), packet.pts)
            if len(earliest) > 4 * LOOK_AHEAD:
                del earliest[next(iter(earliest))]
        if len(waiting) > LOOK_AHEAD:
            yield judged(*waiting.popleft())
    for packet, tick in waiting:
        yield judged(packet, tick)
