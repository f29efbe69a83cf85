"""Which scenarios, which actions, which ground truth. A new scenario is one entry here."""

from __future__ import annotations

import dataclasses
from typing import Any

# Ground truth that every scenario records: VizDoom's names of game variables.
COMMON_STATE = ("POSITION_X", "POSITION_Y", "ANGLE", "VELOCITY_X", "VELOCITY_Y", "HEALTH")


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A ViZDoom scenario from its wheel, with a fixed list of discrete actions.

    buttons are ViZDoom's names; actions maps the name of each action to the buttons it presses.
    state lists the game variables recorded beside the video, after COMMON_STATE. goals are names of
    objects that the scripted expert seeks. random_return and expert_return are means over 100
    episodes of the behaviours `random` and `expert`. max_steps cuts episodes of a scenario without
    a timeout; 0 where it has one. keeps_end: play tic by tic, which is slower, and keep the picture
    before the tic that ends the episode. swings: the player walks and carries a weapon, which swings.
    facts: JSON-able, for the manifest.
    """

    config: str  # file name in the wheel, without .cfg
    buttons: tuple[str, ...]
    actions: dict[str, tuple[str, ...]]
    state: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()
    random_return: float | None = None
    expert_return: float | None = None
    max_steps: int = 0
    keeps_end: bool = False
    swings: bool = False
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def state_names(self) -> tuple[str, ...]:
        return COMMON_STATE + self.state


_WALK = ("TURN_LEFT", "TURN_RIGHT", "MOVE_FORWARD")
_WALK_ACTIONS = {
    "L": ("TURN_LEFT",),
    "R": ("TURN_RIGHT",),
    "F": ("MOVE_FORWARD",),
    "FL": ("MOVE_FORWARD", "TURN_LEFT"),
    "FR": ("MOVE_FORWARD", "TURN_RIGHT"),
}

SCENARIOS = {
    "health_gathering": Scenario(
        config="health_gathering",
        buttons=_WALK,
        actions=_WALK_ACTIONS,
        goals=("Medikit", "CustomMedikit"),
        random_return=391.8,
        expert_return=2100.0,
    ),
    "my_way_home": Scenario(
        config="my_way_home",
        buttons=_WALK,
        actions=_WALK_ACTIONS,
        goals=("GreenArmor",),
        random_return=-0.11,
        expert_return=0.98,
    ),
    "defend_the_center": Scenario(
        config="defend_the_center",
        buttons=("TURN_LEFT", "TURN_RIGHT", "ATTACK"),
        actions={
            "L": ("TURN_LEFT",),
            "R": ("TURN_RIGHT",),
            "A": ("ATTACK",),
            "LA": ("TURN_LEFT", "ATTACK"),
            "RA": ("TURN_RIGHT", "ATTACK"),
        },
        state=("AMMO2", "KILLCOUNT"),
        goals=("Demon", "MarineChainsawVzd"),
        random_return=0.7,
        expert_return=17.1,
    ),
}
