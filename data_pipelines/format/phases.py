"""Phases of a demonstration: which stage, and which part of a motion, every step belongs to.

Scripted experts leave them in the metadata of an episode (a line of episodes-<split>.jsonl): the
field "stages", and the finer "keyframes", are each [[first step, name], ...] in order of the steps,
a phase lasting until the next begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.typed_json import as_type

FIELDS = ("stages", "keyframes")


def phase_numbers(episode: Mapping[str, Any], field: str, *, where: str) -> np.ndarray:
    """int32 (T,): the number of the phase that each of the T = length - 1 steps belongs to.

    Args:
      episode: its metadata, with its `length` in frames.
      field: of FIELDS.
      where: names the episode in errors.

    Raises:
      DataError: it has no such phases, or they do not cover its steps in order.
    """
    if not episode.get(field):
        raise DataError(
            f"{where}: no {field!r} in its metadata; phases are there in recordings of scripted "
            "experts (prepare ogbench, libero-record): record it again, or ask for no phases"
        )
    phases = as_type(episode[field], list[tuple[int, str]], where=f"{where}, {field}")
    starts = [start for start, _ in phases]
    steps = episode["length"] - 1
    if starts[0] != 0 or sorted(set(starts)) != starts or starts[-1] >= steps:
        raise DataError(
            f"{where}: {field} begin at steps {starts}; expected 0 first, then ascending steps below "
            f"{steps}; record it again"
        )
    return np.searchsorted(starts, np.arange(steps), side="right").astype(np.int32) - 1
