"""The scripted expert: from a task's goal to actions, in closed loop, with second tries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.simulators.libero import plans
from data_pipelines.simulators.libero.definition import Goal
from data_pipelines.simulators.libero.motion import IDLE, Follower, Waypoint, action_toward
from data_pipelines.simulators.libero.scene import Scene
from data_pipelines.simulators.simulator import Frames

TRIES = 3  # of each part of the goal
_IN_HAND = 0.15  # metres between the hand and the origin of what it carries
# What is done first: what is put into a drawer needs it open, and it is closed last.
_ORDER = {"Open": 0, "Turnon": 0, "Turnoff": 0, "On": 1, "In": 1, "Close": 2}
# position (3,), rotation (3, 3) of the hand.
Pose = Callable[[], tuple[np.ndarray, np.ndarray]]


class Script:
    """An agent that reads the scene's ground truth.

    phases: "stages", the parts of the goal, and "keyframes", the parts of a motion, as format.phases
    says. over: it has done, or tried, all that it can.
    """

    def __init__(
        self,
        scene: Scene,
        goals: Sequence[Goal],
        pose: Pose,
        rng: np.random.Generator,
        noise: float,
    ):
        """noise: standard deviation that is added to the translation, of a full action.

        Raises DataError for a goal that no script reaches.
        """
        unknown = [goal.predicate for goal in goals if goal.predicate not in _ORDER]
        if unknown:
            raise DataError(f"no script for a goal {', '.join(unknown)}; there are {list(_ORDER)}")
        self._scene, self._pose, self._rng, self._noise = scene, pose, rng, noise
        self._goals = sorted(_with_drawers(scene, goals), key=lambda goal: _ORDER[goal.predicate])
        self._tries = dict.fromkeys(self._goals, 0)
        self._gripper = np.zeros(3)
        self._goal: Goal | None = None
        self._follower: Follower | None = None
        self._step = 0
        self.phases: dict[str, list[list[Any]]] = {"stages": [], "keyframes": []}
        self.over = False

    def __call__(self, frames: Frames) -> np.ndarray:
        """The action float (7,) of this step; stays where it is once it has finished."""
        del frames
        position, rotation = self._pose()
        self._gripper[:] = position
        waypoint = self._next(position, rotation)
        if waypoint is None:
            self.over = True
            return IDLE.copy()
        self._note("stages", " ".join((self._goal.predicate, *self._goal.arguments)))
        self._note("keyframes", waypoint.phase)
        self._step += 1
        action = action_toward(waypoint, position, rotation)
        action[:3] += self._rng.normal(0, self._noise, 3)
        return np.clip(action, -1, 1)

    def _next(self, position: np.ndarray, rotation: np.ndarray) -> Waypoint | None:
        """The waypoint of this step; None where nothing is left to try."""
        while self._follower is not None or self._begin():
            waypoint = self._follower.advance(position, rotation)
            if waypoint is not None and not self._dropped(waypoint, position):
                return waypoint
            self._follower = None
        return None

    def _note(self, kind: str, name: str) -> None:
        seen = self.phases[kind]
        if not seen or seen[-1][1] != name:
            seen.append([self._step, name])

    def _begin(self) -> bool:
        """Begins the first part of the goal that does not hold; False if there is none to try."""
        for goal in self._goals:
            if self._tries[goal] < TRIES and not self._scene.holds(goal):
                self._tries[goal] += 1
                self._goal, self._follower = goal, Follower(self._plan(goal))
                return True
        return False

    def _plan(self, goal: Goal) -> Iterator[Waypoint]:
        scene, gripper, rng = self._scene, self._gripper, self._rng
        first, *rest = goal.arguments
        if goal.predicate in ("On", "In"):
            pushed = plans.is_pushed(scene, first, rest[0])
            return (plans.push_flat if pushed else plans.put)(scene, first, rest[0], gripper, rng)
        if goal.predicate in ("Turnon", "Turnoff"):
            return plans.turn_knob(scene, first, goal.predicate.lower(), gripper, rng)
        hinge = scene.joint(first).hinge
        if goal.predicate == "Open":  # no script opens a door
            return iter(()) if hinge else plans.open_drawer(scene, first, gripper, rng)
        if hinge:
            return plans.swing_shut(scene, first, gripper, rng)
        return plans.close_drawer(scene, first, gripper, rng)

    def _dropped(self, waypoint: Waypoint, position: np.ndarray) -> bool:
        if not waypoint.carries:
            return False
        return float(np.linalg.norm(self._scene.position(waypoint.carries) - position)) > _IN_HAND


def _with_drawers(scene: Scene, goals: Sequence[Goal]) -> list[Goal]:
    """The goals, and Open for the drawers that something goes into and that are shut."""
    needed = [
        Goal("Open", (goal.arguments[1],))
        for goal in goals
        if goal.predicate == "In"
        and not scene.is_thing(goal.arguments[1])
        and scene.joint(goal.arguments[1]) is not None
    ]
    shut = [goal for goal in needed if goal not in goals and not scene.holds(goal)]
    return [*dict.fromkeys(shut), *goals]
