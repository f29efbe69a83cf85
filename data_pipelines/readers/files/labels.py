"""Labels of strangers as arrays: what does not fit is an error, never another number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipelines.readers.recordings import ItemError


def choices(values: Sequence | np.ndarray, where: str) -> np.ndarray:
    """int32 (T,) of numbers of actions; raises ItemError 'bad labels' for what does not fit."""
    found, bounds = _numbers(values, where), np.iinfo(np.int32)
    lowest, highest = found.min(initial=0), found.max(initial=0)
    if found.dtype.kind not in "iu" or lowest < bounds.min or highest > bounds.max:
        raise ItemError("bad labels", f"{where}: {lowest}..{highest} are no numbers of actions")
    return found.astype(np.int32)


def floats(values: Sequence | np.ndarray, where: str) -> np.ndarray:
    """float32 (T, ...); raises ItemError 'bad labels' for what is no number."""
    return _numbers(values, where).astype(np.float32)


def total(value: float | np.generic, where: str) -> float:
    """A return as a float; raises ItemError 'bad labels' for NaN and infinity."""
    if not np.isfinite(value):
        raise ItemError("bad labels", f"{where} is {value}")
    return float(value)


def json_value(value: str | int | float | bool) -> str | int | float | bool:
    """The value as JSON can hold it: NaN and infinity, which it has no numbers for, as text."""
    return value if not isinstance(value, float) or np.isfinite(value) else str(value)


def _numbers(values: Sequence | np.ndarray, where: str) -> np.ndarray:
    if not len(values):
        return np.empty(0, np.int64)
    found = np.asarray(values)
    if found.dtype.kind not in "iufb":
        raise ItemError("bad labels", f"{where}: {str(found.flat[0])[:40]!r} is no number")
    return found
