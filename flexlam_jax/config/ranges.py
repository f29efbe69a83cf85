"""Kinds of values that a setting may have: each a text for people and a test."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

MOST = 2**31 - 1  # Steps, rows and codes are int32 on the device.


@dataclasses.dataclass(frozen=True)
class Range:
    """What a value may be: as a text for people, and as a test."""

    text: str
    holds: Callable[[Any], bool]


def whole(low: int, high: int = MOST) -> Range:
    """Integers from `low` to `high`; a bool is none."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, numbers.Integral)
            and not isinstance(value, bool)
            and low <= value <= high
        )

    return Range(
        f"at least {low}, a whole number below 2^31"
        if high == MOST
        else f"a whole number from {low} to {high}",
        holds,
    )


def real(
    low: float = 0.0, high: float = math.inf, *, above: bool = False, below: bool = False
) -> Range:
    """Finite numbers from `low` to `high`, without `low` (above) or `high` (below)."""

    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return False
        return (
            math.isfinite(value)
            and (value > low if above else value >= low)
            and (value < high if below else value <= high)
        )

    text = f"a number {'>' if above else '>='} {low:g}"
    return Range(
        text + ("" if math.isinf(high) else f" and {'<' if below else '<='} {high:g}"), holds
    )


def exactly(value: Any) -> Range:
    return Range(repr(value), lambda given: type(given) is type(value) and given == value)


def either(first: Range, second: Range) -> Range:
    return Range(
        f"{first.text}, or {second.text}", lambda value: first.holds(value) or second.holds(value)
    )


def several(item: Range, count: int | None = None) -> Range:
    """A list or tuple of `count` items, or of one or more."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, (list, tuple))
            and all(map(item.holds, value))
            and (len(value) == count if count else len(value) > 0)
        )

    return Range(f"{count or 'one or more'} in brackets, each {item.text}", holds)


def interval(item: Range) -> Range:
    """(lo, hi)."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, (list, tuple))
            and len(value) == 2
            and all(map(item.holds, value))
            and value[0] <= value[1]
        )

    return Range(f"(lo, hi) with lo <= hi, each {item.text}", holds)


def one_of(names: Sequence[Any]) -> Range:
    return Range(f"one of {', '.join(map(repr, names))}", lambda value: value in tuple(names))


TEXT = Range("a text", lambda value: isinstance(value, str))
SWITCH = Range("True or False", lambda value: isinstance(value, bool))
COUNT, COUNT_OR_NONE = whole(1), whole(0)
SHARE_BELOW_1 = real(0, 1, below=True)
SEED = whole(0, 2**32 - 1)
