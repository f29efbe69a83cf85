"""The expert of rocket_basic: slides in front of the monster and fires rockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_pipelines.simulators.doom.aiming import (
    action,
    bearing,
    half_angle,
    targets,
    turn_towards,
)
from data_pipelines.simulators.simulator import Frames

if TYPE_CHECKING:
    from data_pipelines.simulators.doom.engine import DoomGame

_RADIUS = 18.0  # half the width of the monster that is aimed at, in map units
_SLIDE = 2.5  # tics' worth of speed that the player slides on
_ASIDE = 30.0  # degrees; further to the side it turns back: a random action has turned it
_PATIENCE = 3  # attacks without a rocket in the air


class Rocketeer:
    """Slides until the bearing is right, then fires.

    The launcher does not fire while the button is held from before it was ready, so after some
    attacks without a rocket the button is released for a step.
    """

    def __init__(self, player: DoomGame):
        self._player, self._held = player, 0

    def __call__(self, frames: Frames) -> int:
        del frames
        player = self._player
        monsters = targets(player)
        if not monsters:
            return action(player, "A")
        vx, vy = (float(v) for v in player.state()[3:5])
        monster = monsters[0]  # where it is seen from after the slide
        distance, left = bearing(player, monster.x - _SLIDE * vx, monster.y - _SLIDE * vy)
        if abs(left) <= half_angle(_RADIUS, distance):
            self._held += 1
            flies = any("Rocket" in thing.name for thing in player.objects())
            if self._held <= _PATIENCE or flies:
                return action(player, "A")
            _, left = bearing(player, monster.x, monster.y)
        elif abs(left) > _ASIDE:
            self._held = 0
            return turn_towards(player, left)
        self._held = 0
        return action(player, "SL" if left > 0 else "SR")
