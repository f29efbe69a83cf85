"""Gaps between the frames of a window: in frames, or in seconds of a dataset's frame rate."""

from __future__ import annotations

import math
import numbers
import re
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec

_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*s")
_LONGEST = 1e9  # seconds; no record spans so long
ALLOWED = (
    "an int >= 1 or (lo, hi) with 1 <= lo <= hi: "
    'frames as 2 or (1, 4), or seconds as "0.5s" or ("0.2s", "0.6s")'
)


def is_gap(gap: Any) -> bool:
    """Whether `gap` is an int >= 1, "<x>s", or an ordered pair of one kind."""
    bounds = tuple(gap) if isinstance(gap, (tuple, list)) else (gap, gap)
    if len(bounds) != 2:
        return False
    if all(isinstance(bound, numbers.Integral) for bound in bounds):
        return not any(isinstance(bound, bool) for bound in bounds) and 1 <= bounds[0] <= bounds[1]
    values = [_seconds(bound) for bound in bounds]
    return None not in values and 0 < values[0] <= values[1]


def gap_frames(gap: Any, spec: DatasetSpec) -> tuple[int, int]:
    """(lo, hi) in stored frames, both included.

    Seconds are multiplied by spec.fps and each bound is rounded to the nearest frame, halves up.

    Raises:
      DataError: no valid gap; seconds for a dataset of unknown frame rate, or fewer than half a
        frame of it.
    """
    if not is_gap(gap):
        raise DataError(f"data.gap is {gap!r}; use {ALLOWED}")
    low, high = gap if isinstance(gap, (tuple, list)) else (gap, gap)
    return _frames(low, spec), _frames(high, spec)


def _seconds(bound: Any) -> float | None:
    match = _SECONDS.fullmatch(bound.strip()) if isinstance(bound, str) else None
    return min(float(match[1]), _LONGEST) if match else None


def _frames(bound: int | str, spec: DatasetSpec) -> int:
    if isinstance(bound, numbers.Integral):
        return int(bound)
    if not spec.fps:
        raise DataError(
            f"dataset {spec.name} does not know its frames per second, so a gap of {bound!r} has "
            "no length in frames; give data.gap in frames (data.gap=2), or prepare the folder "
            "again with the frame rate of its source (--fps, where the recipe has it)"
        )
    frames = math.floor(_seconds(bound) * spec.fps + 0.5)
    if frames < 1:
        raise DataError(
            f"dataset {spec.name}: a gap of {bound!r} is {_seconds(bound) * spec.fps:.2f} frames "
            f"at {spec.fps:g} per second and rounds to 0; use at least {1 / spec.fps:.3g}s"
        )
    return frames
