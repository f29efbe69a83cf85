"""How distractors move: at random, or as the agent acts, or anything between.

A move of a distractor from frame t to t + 1 is driven by

    e_t = chi u(a_t) + sqrt(1 - chi^2) w_t                      mean |u|^2 = mean |w|^2 = 1

with w_t its own dynamics, u(a_t) a fixed direction for every action and chi the correlation: for w
independent of the actions the mean of <e_t, u(a_t)> is chi (times the mean of |u|^2, which is 1 for
discrete actions and for uniform ones), at chi = 1 the move is a function of the action, at chi = 0
it is independent of it. The formula is ours. Dimension keys: N frames of an episode, N - 1 steps
between them.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec

_PLANE = 2  # dimensions that a distractor moves in


@dataclasses.dataclass(frozen=True)
class Moves:
    """What distractors of one episode may know: how many frames there are, and what the agent does.

    directions: u, float64 (N-1, 2); correlation: chi in 0..1; memory: how much of a speed is left
    after a frame, in 0..1, 1 excluded.
    """

    directions: np.ndarray
    correlation: float = 0.0
    memory: float = 0.0

    @property
    def frames(self) -> int:
        return len(self.directions) + 1

    def driven(self, own: np.ndarray, step: int | slice = slice(None)) -> np.ndarray:
        """e (N-1, 2) of own dynamics w (N-1, 2); or (2,) of those of one step."""
        chi = self.correlation
        return chi * self.directions[step] + math.sqrt(1 - chi**2) * own

    def speeds(self, rng: np.random.Generator) -> np.ndarray:
        """float64 (N, 2), mean square 1: s_0 normal, s_{t+1} = m s_t + sqrt(1 - m^2) e_t with normal
        w_t; s_{t+1} is the move from frame t to t + 1, and s_0 that to the first frame."""
        scale = math.sqrt(1 / _PLANE)
        first = rng.normal(scale=scale, size=_PLANE)
        driven = self.driven(rng.normal(scale=scale, size=(self.frames - 1, _PLANE)))
        speeds = np.empty((self.frames, _PLANE))
        speeds[0] = first
        fresh = math.sqrt(1 - self.memory**2)
        for t, new in enumerate(driven):
            speeds[t + 1] = self.memory * speeds[t] + fresh * new
        return speeds


def action_directions(action: np.ndarray, spec: ActionSpec) -> np.ndarray:
    """u float64 (N-1, 2) of actions (N-1, ...).

    Discrete: action k of n points to the angle 2 pi k / n, |u| = 1. Continuous: every dimension at
    an angle of its own, likewise, its range scaled to -1..1, and all added; the mean of |u|^2 is 1
    for uniform actions. Raises DataError for continuous actions whose bounds are unknown.
    """
    if spec.kind == "discrete":
        angle = 2 * np.pi * np.asarray(action, np.float64) / spec.count
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    if spec.low is None or spec.high is None or spec.low == spec.high:
        raise DataError(
            f"actions {', '.join(spec.names)} have no bounds, so no distractor can follow them; use "
            "--distractor-correlation=0"
        )
    centred = (2 * np.asarray(action, np.float64) - spec.low - spec.high) / (spec.high - spec.low)
    # Half a turn for all of them: an angle and its opposite would be one dimension.
    angle = np.pi * np.arange(spec.count) / spec.count
    towards = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.clip(centred, -1, 1) @ towards * math.sqrt(3 / spec.count)
