"""Who plays while data is collected. A new behaviour is one entry in BEHAVIOURS."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.simulator import Agent, Frames, Simulator

KEEP = 0.7  # probability that sticky play keeps its action


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """make(simulator after reset, rng) -> agent; equal arguments make agents that act equally.

    max_steps cuts episodes (0: play to the end, as returns need). skip_steps are played but not
    recorded: some tasks always start in the same pose, and episodes whose first actions agree would
    share their first frames across splits. ground_truth: the agent reads more than pictures.
    """

    description: str  # {noise} stands for that of the simulator
    make: Callable[[Simulator, np.random.Generator], Agent]
    max_steps: int = 0
    skip_steps: int = 0
    ground_truth: bool = False


def uniform_action(action: ActionSpec, rng: np.random.Generator) -> int | np.ndarray:
    """A uniform action: int, or float32 (A,) within the bounds.

    Raises DataError for continuous actions whose bounds are unknown.
    """
    if action.kind == "discrete":
        return int(rng.integers(action.count))
    if action.low is None or action.high is None:
        raise DataError(
            f"actions {', '.join(action.names)} have no bounds, so none is uniform; give the "
            "ActionSpec low and high, or let the scripted expert play"
        )
    return rng.uniform(action.low, action.high, action.count).astype(np.float32)


class Random:
    """A uniform action at every step."""

    def __init__(self, simulator: Simulator, rng: np.random.Generator):
        self._action, self._rng = simulator.task.action, rng

    def __call__(self, frames: Frames) -> int | np.ndarray:
        del frames
        return uniform_action(self._action, self._rng)


class Sticky:
    """A uniform action that is kept with probability KEEP at every step."""

    def __init__(self, simulator: Simulator, rng: np.random.Generator):
        self._spec, self._rng = simulator.task.action, rng
        self._action = uniform_action(self._spec, rng)

    def __call__(self, frames: Frames) -> int | np.ndarray:
        del frames
        if self._rng.random() >= KEEP:
            self._action = uniform_action(self._spec, self._rng)
        return self._action


class Noisy:
    """The scripted expert, but a uniform action with the probability that the simulator says."""

    def __init__(self, simulator: Simulator, rng: np.random.Generator):
        self._expert, self._spec, self._rng = simulator.expert(), simulator.task.action, rng
        self._noise = simulator.noisy_share

    def __call__(self, frames: Frames) -> int | np.ndarray:
        action = self._expert(frames)
        return uniform_action(self._spec, self._rng) if self._rng.random() < self._noise else action


BEHAVIOURS = {
    "random": Behaviour("uniform random action", Random),
    # Cut short so that many episodes, and with them many backgrounds, fit in few transitions.
    "sticky": Behaviour(
        f"uniform random action, kept with probability {KEEP}", Sticky, max_steps=150, skip_steps=16
    ),
    "expert": Behaviour(
        "scripted, from the simulator's ground truth",
        lambda simulator, rng: simulator.expert(),
        ground_truth=True,
    ),
    "noisy": Behaviour(
        "scripted expert, uniform random action with probability {noise}",
        Noisy,
        ground_truth=True,
    ),
}
