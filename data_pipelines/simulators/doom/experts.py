"""Scripted experts: they read the simulator's ground truth, never the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from data_pipelines.simulators.doom.aiming import (
    action,
    bearing,
    half_angle,
    targets,
    turn_towards,
    walk_towards,
)
from data_pipelines.simulators.doom.grid import Grid, way_costs
from data_pipelines.simulators.simulator import Agent, Frames

if TYPE_CHECKING:
    from data_pipelines.simulators.doom.engine import DoomGame

LOOK_AHEAD = 4  # cells of the way that a navigator aims for


class Gatherer:
    """Walks to the nearest goal object (health_gathering)."""

    def __init__(self, player: DoomGame):
        self._player = player

    def __call__(self, frames: Frames) -> int:
        del frames
        player = self._player
        points = [(goal.x, goal.y) for goal in targets(player)]
        if not points:
            return action(player, "F")
        return walk_towards(player, *min(points, key=lambda point: bearing(player, *point)[0]))


class Marksman:
    """Turns to the enemy that is cheapest to hit and fires (defend_the_center, defend_the_line).

    Args:
      radius: half the width of an enemy, in map units.
      price: degrees of turning that a map unit of distance is worth.
      idle: the action while nobody is there.
      far_tolerance: degrees that are close enough beyond _FAR units, where an enemy is narrower
        than the smallest turn.
    """

    _FAR = 250.0

    def __init__(
        self,
        player: DoomGame,
        *,
        radius: float = 18.0,
        price: float = 0.1,
        idle: str = "L",
        far_tolerance: float = 0.0,
    ):
        self._player, self._radius, self._price = player, radius, price
        self._idle, self._far_tolerance = idle, far_tolerance

    def __call__(self, frames: Frames) -> int:
        del frames
        player = self._player
        seen = [bearing(player, enemy.x, enemy.y) for enemy in targets(player)]
        if not seen:
            return action(player, self._idle)
        distance, left = min(seen, key=lambda it: abs(it[1]) + self._price * it[0])
        tolerance = half_angle(self._radius, distance)
        if distance > self._FAR:
            tolerance = max(tolerance, self._far_tolerance)
        return action(player, "A") if abs(left) <= tolerance else turn_towards(player, left)


class Navigator:
    """Follows the shortest way to the goal through the walls of the map (my_way_home)."""

    _CLEARANCE = 24.0

    def __init__(self, player: DoomGame):
        self._player = player
        self._grid = Grid(player.walls(), self._CLEARANCE)
        goals = [self._grid.cell(goal.x, goal.y) for goal in targets(player)]
        self._costs = way_costs(self._grid.prices(), goals)

    def __call__(self, frames: Frames) -> int:
        del frames
        x, y = (float(v) for v in self._player.state()[:2])
        cell = self._grid.follow(self._grid.cell(x, y), self._costs, LOOK_AHEAD)
        return walk_towards(self._player, *self._grid.centre(cell))


EXPERTS: dict[str, Callable[[DoomGame], Agent]] = {
    "health_gathering": Gatherer,
    "my_way_home": Navigator,
    "defend_the_center": Marksman,
}
