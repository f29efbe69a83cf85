"""The scripted expert of an episode: a plan for each stage, made again where it failed. No simulator.

OGBench's oracles are open loop: a plan is made of the scene as it stands, and followed without
looking. Opening the drawer slips in every third plan or so, so a stage has several attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from data_pipelines.simulators.ogbench.tasks import Stage


class Plan(Protocol):
    """What an oracle does for one stage."""

    @property
    def done(self) -> bool:
        """Whether its last action was given."""

    @property
    def keyframe(self) -> str:
        """The keyframe that the next action leads to."""

    def action(self) -> np.ndarray:
        """The next action."""


class Chain:
    """Follows the stages of one episode, and keeps which stage and keyframe every step was of.

    Attributes:
      over: no stage is left, or the attempts at one are used up.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        begin: Callable[[Stage], Plan],
        holds: Callable[[Stage], bool],
        attempts: int,
    ):
        """begin: a new plan for a stage. holds: whether it is reached. attempts: plans per stage."""
        self._stages, self._begin, self._holds, self._most = stages, begin, holds, attempts
        self._number = 0  # of the present stage
        self._plan: Plan | None = None
        self._tried = [0] * len(stages)
        self._seen: dict[str, list[list[Any]]] = {"stages": [], "keyframes": []}
        self._fresh = False  # whether no action of the present plan was given
        self.over = False

    def action(self, step: int) -> np.ndarray | None:
        """What to do in step number `step` of the episode; None once it is over."""
        while not self.over and (self._plan is None or self._plan.done):
            self._next_plan()
        if self.over:
            return None
        self._note("stages", step, self._stages[self._number].text)
        self._note("keyframes", step, self._plan.keyframe, again=self._fresh)
        self._fresh = False
        return self._plan.action()

    def _note(self, kind: str, step: int, name: str, *, again: bool = False) -> None:
        seen = self._seen[kind]
        if again or not seen or seen[-1][1] != name:
            seen.append([step, name])

    def _next_plan(self) -> None:
        """Another plan for the present stage, or for the first one after it that is not reached."""
        while self._number < len(self._stages) and self._holds(self._stages[self._number]):
            self._number += 1
        self.over = self._number == len(self._stages) or self._tried[self._number] == self._most
        if not self.over:
            self._tried[self._number] += 1
            self._plan, self._fresh = self._begin(self._stages[self._number]), True

    def phases(self) -> dict[str, Any]:
        """JSON: "stages" and "keyframes", each [[first step, name], ...] in order of the steps, a
        phase lasting until the next begins; "attempts": plans made per stage."""
        return self._seen | {"attempts": self._tried}
