"""The expert of deadly_corridor: shoots who is near, and walks on to the vest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_pipelines.simulators.doom.aiming import (
    action,
    bearing,
    half_angle,
    targets,
    turn_towards,
    walk_towards,
)
from data_pipelines.simulators.simulator import Frames

if TYPE_CHECKING:
    from data_pipelines.simulators.doom.engine import DoomGame

_VEST = (1312.0, 0.0)  # map units, at the end of the corridor
_REACH = 460.0  # map units within which an enemy is shot at
_BEHIND = 200.0  # map units behind the player, along the corridor, that do not matter any more
_RADIUS = 20.0  # half the width of an enemy
_TOLERANCE = 3.5  # degrees that are close enough in any case: half of the smallest turn
_PRICE = 3.0  # map units that a degree of turning is worth
_BOUT, _WALK = 30, 3  # steps of shooting without a kill, then steps on
# On target it fires and sidesteps in turn: who stands still while firing earns a third.
_ON_TARGET = ("A", "A", "SL", "SL", "A", "A", "SR", "SR")


class Fighter:
    """Shoots the nearest enemies from side to side, then walks on.

    A bout without a kill ends in a few steps on, out of a deadlock.

    Enemies of the corridor are those that live: ViZDoom renames corpses.
    """

    def __init__(self, player: DoomGame):
        self._player = player
        self._enemies = self._shooting = self._walking = self._fired = 0

    def __call__(self, frames: Frames) -> int:
        del frames
        player = self._player
        x = float(player.state()[0])
        seen = [(enemy.x, *bearing(player, enemy.x, enemy.y)) for enemy in targets(player)]
        near = [(d, left) for ex, d, left in seen if d < _REACH and ex > x - _BEHIND]
        if len(near) != self._enemies:
            self._enemies, self._shooting = len(near), 0
        if near and not self._walking:
            self._shooting += 1
            if self._shooting <= _BOUT:
                return self._shoot(near)
            self._shooting, self._walking = 0, _WALK + 1
        self._walking = max(0, self._walking - 1)
        return walk_towards(player, *_VEST)

    def _shoot(self, near: list[tuple[float, float]]) -> int:
        """near: (distance, degrees to the left) of the enemies."""
        distance, left = min(near, key=lambda it: it[0] + _PRICE * abs(it[1]))
        if abs(left) <= max(half_angle(_RADIUS, distance), _TOLERANCE):
            self._fired += 1
            return action(self._player, _ON_TARGET[self._fired % len(_ON_TARGET)])
        return turn_towards(self._player, left)
