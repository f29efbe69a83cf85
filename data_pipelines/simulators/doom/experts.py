"""Scripted experts: they read the simulator's ground truth, never the picture."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from data_pipelines.simulators.simulator import Agent, Frames

if TYPE_CHECKING:
    from data_pipelines.simulators.doom.game import Doom

# Degrees that one held turn covers, measured: 7 for the first step, then 12 and 14.
_FIRST_TURN = 7.0


def bearing(player: Doom, x: float, y: float) -> tuple[float, float]:
    """(distance, degrees to turn left in -180..180) from the player to a point."""
    px, py, angle = (float(v) for v in player.state()[:3])
    degrees = np.degrees(np.arctan2(y - py, x - px)) - angle
    return float(np.hypot(x - px, y - py)), float((degrees + 180) % 360 - 180)


def _targets(player: Doom) -> list[tuple[float, float]]:
    goals = player.scenario.goals
    return [(x, y) for name, x, y in player.objects() if name in goals]


def _action(player: Doom, name: str) -> int:
    return list(player.scenario.actions).index(name)


def _walk_towards(player: Doom, x: float, y: float) -> int:
    """Turns on the spot if the point is far to the side, else walks and bends towards it."""
    _, left = bearing(player, x, y)
    if abs(left) > 45:
        return _action(player, "L" if left > 0 else "R")
    if abs(left) > _FIRST_TURN:
        return _action(player, "FL" if left > 0 else "FR")
    return _action(player, "F")


class Gatherer:
    """Walks to the nearest goal object (health_gathering)."""

    def __init__(self, player: Doom):
        self._player = player

    def __call__(self, frames: Frames) -> int:
        del frames
        targets = _targets(self._player)
        if not targets:
            return _action(self._player, "F")
        return _walk_towards(
            self._player, *min(targets, key=lambda point: bearing(self._player, *point)[0])
        )


class Marksman:
    """Turns to the enemy that needs the least turning and fires (defend_the_center)."""

    _RADIUS = 18.0  # half the width of an enemy, in map units

    def __init__(self, player: Doom):
        self._player = player

    def __call__(self, frames: Frames) -> int:
        del frames
        player = self._player
        seen = [bearing(player, x, y) for x, y in _targets(player)]
        if not seen:
            return _action(player, "L")
        distance, left = min(seen, key=lambda it: abs(it[1]) + 0.1 * it[0])
        if abs(left) <= np.degrees(np.arctan2(self._RADIUS, distance)):
            return _action(player, "A")
        return _action(player, "L" if left > 0 else "R")


class Navigator:
    """Follows the shortest way to the goal through the walls of the map (my_way_home)."""

    _CELL = 16.0
    _CLEARANCE = 24.0  # the player's radius is 16; walls within this are avoided
    _LOOK_AHEAD = 4  # cells

    def __init__(self, player: Doom):
        self._player = player
        walls = player.walls()
        self._origin = walls.reshape(-1, 2).min(axis=0)
        extent = walls.reshape(-1, 2).max(axis=0) - self._origin
        self._shape = tuple(np.ceil(extent / self._CELL).astype(int) + 1)
        blocked = self._blocked(walls)
        goals = _targets(player)
        self._steps = _distances(blocked, [self._cell(*goal) for goal in goals])

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        return tuple(((np.array([x, y]) - self._origin) / self._CELL).astype(int))

    def _blocked(self, walls: np.ndarray) -> np.ndarray:
        """bool (X, Y): cells whose centre lies within the clearance of a wall."""
        grid = np.stack(np.meshgrid(*map(np.arange, self._shape), indexing="ij"), -1)
        points = self._origin + (grid + 0.5) * self._CELL
        blocked = np.zeros(self._shape, bool)
        for x1, y1, x2, y2 in walls:
            a, d = np.array([x1, y1]), np.array([x2 - x1, y2 - y1])
            along = np.clip(((points - a) @ d) / max(float(d @ d), 1e-6), 0, 1)
            blocked |= np.linalg.norm(points - a - along[..., None] * d, axis=-1) < self._CLEARANCE
        return blocked

    def __call__(self, frames: Frames) -> int:
        del frames
        x, y = (float(v) for v in self._player.state()[:2])
        cell = self._cell(x, y)
        for _ in range(self._LOOK_AHEAD):
            cell = min(_neighbours(cell, self._shape), key=lambda c: self._steps[c])
        target = self._origin + (np.array(cell) + 0.5) * self._CELL
        return _walk_towards(self._player, *target)


def _neighbours(cell: tuple[int, int], shape: tuple[int, ...]) -> list[tuple[int, int]]:
    x, y = cell
    around = [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return [c for c in around if 0 <= c[0] < shape[0] and 0 <= c[1] < shape[1]]


def _distances(blocked: np.ndarray, goals: list[tuple[int, int]]) -> np.ndarray:
    """float (X, Y): length of the way from each cell to the nearest goal.

    Blocked cells are passable at a high price, so that a player pushed against a wall gets away.
    """
    steps = np.full(blocked.shape, np.inf)
    queue = [(0.0, goal) for goal in goals]
    while queue:
        way, cell = heapq.heappop(queue)
        if way >= steps[cell]:
            continue
        steps[cell] = way
        for other in _neighbours(cell, blocked.shape):
            length = np.hypot(other[0] - cell[0], other[1] - cell[1])
            price = length * (50.0 if blocked[other] else 1.0)
            if way + price < steps[other]:
                heapq.heappush(queue, (way + price, other))
    return steps


EXPERTS: dict[str, Callable[[Doom], Agent]] = {
    "health_gathering": Gatherer,
    "my_way_home": Navigator,
    "defend_the_center": Marksman,
}
