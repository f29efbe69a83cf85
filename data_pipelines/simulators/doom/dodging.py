"""The expert of take_cover: steps out of the way of fireballs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data_pipelines.simulators.doom.aiming import action
from data_pipelines.simulators.simulator import Frames

if TYPE_CHECKING:
    from data_pipelines.simulators.doom.engine import DoomGame, Thing

_FIREBALL = "DoomImpBall"
_AHEAD = np.arange(1, 40, 2)  # tics
# How the player slides along the wall, in map units: speed per tic, and for how many tics a
# decision is taken to last; momentum carries on for a few.
_SPEED, _HELD, _CARRIED = 5.0, 12, 3
_LOW, _HIGH, _MIDDLE = 16.0, 752.0, 384.0  # ends of the wall, and the place to come back to
_CORNER = 38.0  # a way to `y` closer than this to an end of the room is a trap
_REACH_X, _REACH_Y = 40.0, 46.0  # a fireball that comes closer than this hits


class Dodger:
    """Slides to the side where the fireballs in the air come less close; drifts to the middle.

    The player faces the imps along x and slides along y.
    """

    def __init__(self, player: DoomGame):
        self._player, self._last = player, "SL"

    def __call__(self, frames: Frames) -> int:
        del frames
        balls = [thing for thing in self._player.objects() if thing.name == _FIREBALL]
        costs = {"SL": self._cost(1.0, balls), "SR": self._cost(-1.0, balls)}
        other = "SR" if self._last == "SL" else "SL"
        costs[other] += 0.5  # turning back costs momentum
        self._last = min(costs, key=lambda name: costs[name])
        return action(self._player, self._last)

    def _cost(self, side: float, balls: list[Thing]) -> float:
        """Of sliding to the left (1) or the right (-1)."""
        x, y, _, _, vy = (float(v) for v in self._player.state()[:5])
        slid = side * _SPEED * np.minimum(_AHEAD, _HELD) + vy * np.minimum(_AHEAD, _CARRIED)
        path = np.clip(y + slid, _LOW, _HIGH)  # (tics,)
        cost = 0.0
        for ball in balls:
            gap = abs(ball.y + ball.vy * _AHEAD - path)
            close = (abs(ball.x + ball.vx * _AHEAD - x) < _REACH_X) & (gap < _REACH_Y)
            cost += float(((_REACH_Y - gap) / (1 + 0.1 * _AHEAD))[close].sum())
        goal = y + side * _SPEED * _HELD
        cost += 0.002 * abs(goal - _MIDDLE)
        return cost + 30.0 * (goal < _CORNER or goal > 2 * _MIDDLE - _CORNER)
