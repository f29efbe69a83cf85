"""What every option of the loader may be, in one table, and the one message for what it may not."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from data_pipelines.errors import DataError
from data_pipelines.loading.gaps import ALLOWED as GAPS
from data_pipelines.loading.gaps import is_gap

PAIRS = ("camera", "exogenous")


class Range(NamedTuple):
    """text: what to give, for people. holds: whether a value is that."""

    text: str
    holds: Callable[[Any], bool]


def whole(low: int, high: int | None = None, note: str = "") -> Range:
    """A whole number, no bool and no float, in low..high."""
    most = math.inf if high is None else high
    text = f"at least {low}" if high is None else f"{low} to {high}"
    return Range(
        f"a whole number, {text}{note}",
        lambda value: _is(value, numbers.Integral) and low <= value <= most,
    )


def real(text: str, holds: Callable[[float], bool]) -> Range:
    """A finite number for which `holds`."""
    return Range(
        text, lambda value: _is(value, numbers.Real) and math.isfinite(value) and holds(value)
    )


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _are_names(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value)
    )


_NAMES = Range("a list of names, none of them empty or given twice", _are_names)
_WEIGHT = real("a number of 1e-9 to 1e9: weights must be positive", lambda w: 1e-9 <= w <= 1e9)
_TEXT = Range("a text", lambda value: isinstance(value, str))

RANGES: dict[str, Range] = {
    "path": _TEXT,
    "datasets": Range(
        f"{_NAMES.text}, or {{name: weight}}",
        lambda value: isinstance(value, Mapping) or _are_names(value),
    ),
    "cameras": _NAMES,
    "fields": _NAMES,
    "mixture": Range(
        "{name: {path, weight, gap, ...}}",
        lambda value: (
            isinstance(value, Mapping)
            and all(isinstance(entry, Mapping) for entry in value.values())
        ),
    ),
    "split": Range("the name of a split", lambda value: isinstance(value, str) and value != ""),
    "gap": Range(GAPS, is_gap),
    "clip_length": whole(2, note=": a window needs at least 2 frames"),
    "image_size": whole(0, 8192, ": pixels of a side, 0 for that of the data"),
    "resize": Range("True or False", lambda value: isinstance(value, bool)),
    "pair_with": Range(
        f'one of {", ".join(PAIRS)}, or "" for none', lambda value: value in ("", *PAIRS)
    ),
    "pairs_per_clip": whole(1),
    "weight": Range(_WEIGHT.text, lambda value: value is None or _WEIGHT.holds(value)),
    "transitions": whole(0, note=" (0 for all)"),
    "fraction": real("a share above 0, at most 1", lambda value: 0 < value <= 1),
    "subset_seed": whole(0, 2**32 - 1),
    "threads": whole(1, 1024),
    "prefetch": whole(1, 2**20),
    "workers": whole(0, 1024),
    # Arguments of the functions beside the config.
    "seed": whole(0, 2**63 - 1),
    "batch_size": whole(1),
    "process_index": whole(0),
    "process_count": whole(1),
    "limit": Range(
        "None for all, or a whole number, at least 1",
        lambda value: value is None or (_is(value, numbers.Integral) and value >= 1),
    ),
}


def check_ranges(values: Mapping[str, Any], prefix: str = "") -> None:
    """Raises DataError naming the first of `values` that its range does not hold.

    prefix: what stands before the keys in messages, "data.".
    """
    for key, value in values.items():
        if not RANGES[key].holds(value):
            raise DataError(f"{prefix}{key} is {_shown(value)}; use {RANGES[key].text}")
        if key == "datasets" and isinstance(value, Mapping):
            for name, weight in value.items():
                if not _WEIGHT.holds(weight):
                    raise DataError(
                        f"{prefix}datasets.{name} is {_shown(weight)}; use {_WEIGHT.text}"
                    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
