"""Where things are as the player sees them, and the actions that turn and walk there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from data_pipelines.simulators.doom.engine import DoomGame, Thing

# Degrees that one held turn covers, measured: 7 for the first step, then 12 and 14.
FIRST_TURN = 7.0
# Walking, the player turns on the spot towards what lies further to the side than this, in degrees.
_ASIDE = 45.0


def action(player: DoomGame, name: str) -> int:
    """The number of an action of the present task, by its name."""
    return list(player.scenario.actions).index(name)


def targets(player: DoomGame) -> list[Thing]:
    """The objects that the scenario names as goals."""
    goals = player.scenario.goals
    return [thing for thing in player.objects() if thing.name in goals]


def bearing(player: DoomGame, x: float, y: float) -> tuple[float, float]:
    """(distance, degrees to turn left in -180..180) from the player to a point."""
    px, py, angle = (float(v) for v in player.state()[:3])
    degrees = np.degrees(np.arctan2(y - py, x - px)) - angle
    return float(np.hypot(x - px, y - py)), float((degrees + 180) % 360 - 180)


def half_angle(radius: float, distance: float) -> float:
    """Degrees between the middle and the edge of what is 2 `radius` wide."""
    return float(np.degrees(np.arctan2(radius, distance)))


def turn_towards(player: DoomGame, left: float) -> int:
    """Turns on the spot; left: degrees, negative to the right."""
    return action(player, "L" if left > 0 else "R")


def walk_towards(player: DoomGame, x: float, y: float) -> int:
    """Turns on the spot if the point is far to the side, else walks and bends towards it."""
    _, left = bearing(player, x, y)
    if abs(left) > _ASIDE:
        return turn_towards(player, left)
    if abs(left) > FIRST_TURN:
        return action(player, "FL" if left > 0 else "FR")
    return action(player, "F")
