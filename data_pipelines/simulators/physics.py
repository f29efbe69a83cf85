"""Errors of a simulated world, apart from those of whoever plays in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from data_pipelines.simulators.simulator import EpisodeLost

ENGINES = ("mujoco", "robosuite")  # whose own exceptions say that a world broke


@contextlib.contextmanager
def physics(task: str) -> Iterator[None]:
    """Around a step: raises EpisodeLost where the engine fails, or its numbers are not finite."""
    try:
        yield
    except Exception as error:
        engine = type(error).__module__.split(".")[0] in ENGINES
        if not engine and not isinstance(error, ArithmeticError | np.linalg.LinAlgError):
            raise
        text = " ".join(str(error).split())[:300]
        raise EpisodeLost(f"{task}: the physics broke ({type(error).__name__}: {text})") from error
