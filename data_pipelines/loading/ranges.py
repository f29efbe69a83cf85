"""Kinds of values that options and arguments of the loader may have, and the message for others."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from data_pipelines.errors import DataError
from data_pipelines.loading.gaps import ALLOWED as GAPS
from data_pipelines.loading.gaps import is_gap


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


NAMES = Range("a list of names, none of them empty or given twice", _are_names)
WEIGHT = real("a number of 1e-9 to 1e9: weights must be positive", lambda w: 1e-9 <= w <= 1e9)
TEXT = Range("a text", lambda value: isinstance(value, str))
SWITCH = Range("True or False", lambda value: isinstance(value, bool))
GAP = Range(GAPS, is_gap)
SEED = whole(0, 2**32 - 1)


def one_of(names: Sequence[str]) -> Range:
    """One of these names, or "" for none."""
    return Range(f'one of {", ".join(names)}, or "" for none', lambda value: value in ("", *names))


# Arguments of the loader's functions beside the config.
ARGUMENTS: dict[str, Range] = {
    "seed": whole(0, 2**63 - 1),
    "batch_size": whole(1),
    "process_index": whole(0),
    "process_count": whole(1),
    "limit": Range(
        "None for all, or a whole number, at least 1",
        lambda value: value is None or (_is(value, numbers.Integral) and value >= 1),
    ),
}


def check_ranges(
    values: Mapping[str, Any], prefix: str = "", ranges: Mapping[str, Range] = ARGUMENTS
) -> None:
    """Raises DataError naming the first of `values` that its range does not hold.

    prefix: what stands before the keys in messages, "data.".
    """
    for key, value in values.items():
        if not ranges[key].holds(value):
            raise DataError(f"{prefix}{key} is {_shown(value)}; use {ranges[key].text}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
