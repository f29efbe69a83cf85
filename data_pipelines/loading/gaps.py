"""Gaps between the frames of a window: in frames, or in seconds of a dataset's frame rate."""

from __future__ import annotations

import math
import re
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.spec import DatasetSpec

_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*s")
_ALLOWED = 'frames as 2 or (1, 4), or seconds as "0.5s" or ("0.2s", "0.6s")'


def check_gap(gap: Any) -> None:
    """Raises DataError unless `gap` is an int >= 1, "<x>s", or an ordered pair of one kind."""
    bounds = gap if isinstance(gap, tuple) else (gap, gap)
    if len(bounds) == 2:
        values = [_seconds(bound) for bound in bounds]
        if all(isinstance(bound, int) and not isinstance(bound, bool) for bound in bounds):
            if 1 <= bounds[0] <= bounds[1]:
                return
        elif None not in values and 0 < values[0] <= values[1]:
            return
    raise DataError(
        f"data.gap is {gap!r}; give an int >= 1 or (lo, hi) with 1 <= lo <= hi: {_ALLOWED}"
    )


def gap_frames(gap: Any, spec: DatasetSpec) -> tuple[int, int]:
    """(lo, hi) in stored frames, both included.

    Seconds are multiplied by spec.fps and each bound is rounded to the nearest frame, halves up.

    Raises:
      DataError: no valid gap; seconds for a dataset of unknown frame rate, or fewer than half a
        frame of it.
    """
    check_gap(gap)
    low, high = gap if isinstance(gap, tuple) else (gap, gap)
    return _frames(low, spec), _frames(high, spec)


def _seconds(bound: Any) -> float | None:
    match = _SECONDS.fullmatch(bound.strip()) if isinstance(bound, str) else None
    return float(match[1]) if match else None


def _frames(bound: int | str, spec: DatasetSpec) -> int:
    if isinstance(bound, int):
        return bound
    if not spec.fps:
        raise DataError(
            f"dataset {spec.name} does not know its frames per second, so a gap of {bound!r} has "
            "no length in frames; give data.gap in frames, or prepare with a frame rate"
        )
    frames = math.floor(_seconds(bound) * spec.fps + 0.5)
    if frames < 1:
        raise DataError(
            f"dataset {spec.name}: a gap of {bound!r} is {_seconds(bound) * spec.fps:.2f} frames "
            f"at {spec.fps:g} per second and rounds to 0; use at least {1 / spec.fps:.3g}s"
        )
    return frames
