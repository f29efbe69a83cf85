"""The expert of health_gathering_supreme: medikits in a maze, with poison between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data_pipelines.simulators.doom.aiming import action, targets, walk_towards
from data_pipelines.simulators.doom.experts import LOOK_AHEAD
from data_pipelines.simulators.doom.grid import Cell, Grid, way_costs
from data_pipelines.simulators.simulator import Frames

if TYPE_CHECKING:
    from data_pipelines.simulators.doom.engine import DoomGame

_POISON = "Poison"
_CLEARANCE = 22.0  # map units from a wall; with more, medikits beside a wall are out of reach
_POISON_REACH = 2  # cells around a poison that are to be avoided
_POISON_PRICE = 25.0  # what each of them costs beside its length


class Forager:
    """Walks to the goal that is nearest along a way around walls and poison, planned anew when
    objects come or go."""

    def __init__(self, player: DoomGame):
        self._player = player
        self._grid = Grid(player.walls(), _CLEARANCE)
        self._planned: tuple[list[Cell], list[Cell]] = ([], [])
        self._costs = np.zeros(self._grid.shape)

    def __call__(self, frames: Frames) -> int:
        del frames
        player, grid = self._player, self._grid
        goals = sorted(grid.cell(goal.x, goal.y) for goal in targets(player))
        poison = sorted(grid.cell(o.x, o.y) for o in player.objects() if o.name == _POISON)
        if not goals:
            return action(player, "F")
        if (goals, poison) != self._planned:
            self._planned = goals, poison
            self._costs = way_costs(self._prices(poison), goals)
        x, y = (float(v) for v in player.state()[:2])
        cell = grid.follow(grid.cell(x, y), self._costs, LOOK_AHEAD)
        return walk_towards(player, *grid.centre(cell))

    def _prices(self, poison: list[Cell]) -> np.ndarray:
        """float (X, Y)."""
        prices = self._grid.prices()
        for x, y in poison:
            low_x, low_y = max(x - _POISON_REACH, 0), max(y - _POISON_REACH, 0)
            around = prices[low_x : x + _POISON_REACH + 1, low_y : y + _POISON_REACH + 1]
            around += _POISON_PRICE
        return prices
