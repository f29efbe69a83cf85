"""Numbers that a recipe's options may hold, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_pipelines.errors import DataError

RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "size": (0, 4096),  # the least is the recipe's to say; 0: as the source has it, where it can
    "clip_stride": (1, 10_000),
    "max_span": (1, 10_000),
    "max_failures": (0.0, 1.0),
    "episodes": (1, 10_000_000),
    "length": (2, 1_000_000),
    "distractors": (0, 1_000),
}


def check_ranges(
    options: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]] = RANGES
) -> None:
    """Raises DataError naming the first number that is out of its range; NaN always is.

    ranges: {option: (least, most)}; those of a recipe's own options, or those that all share.
    """
    for name, (low, high) in ranges.items():
        value = options.get(name)
        if isinstance(value, (int, float)) and not low <= value <= high:
            flag = "--" + name.replace("_", "-")
            raise DataError(f"{flag} is {value}; give a number from {low} to {high}")
