"""ViZDoom as a suite of tasks that share one set of actions.

One action set makes one latent action model, one policy and one translator serve all tasks, and
lets labels of one task serve the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from data_pipelines.simulators.doom.corridor import Fighter
from data_pipelines.simulators.doom.dodging import Dodger
from data_pipelines.simulators.doom.engine import DoomGame
from data_pipelines.simulators.doom.experts import Gatherer, Marksman, Navigator
from data_pipelines.simulators.doom.maze import Forager
from data_pipelines.simulators.doom.rockets import Rocketeer
from data_pipelines.simulators.doom.scenarios import Scenario
from data_pipelines.simulators.simulator import Agent

BUTTONS = ("TURN_LEFT", "TURN_RIGHT", "MOVE_FORWARD", "ATTACK", "MOVE_LEFT", "MOVE_RIGHT")
ACTIONS = {
    "L": ("TURN_LEFT",),
    "R": ("TURN_RIGHT",),
    "F": ("MOVE_FORWARD",),
    "FL": ("MOVE_FORWARD", "TURN_LEFT"),
    "FR": ("MOVE_FORWARD", "TURN_RIGHT"),
    "A": ("ATTACK",),
    "SL": ("MOVE_LEFT",),
    "SR": ("MOVE_RIGHT",),
}
HORIZON = 525  # steps; as the scenarios with a timeout of 2100 tics have
MEDIKITS = ("Medikit", "CustomMedikit")

# The tasks whose mean is the result; beside them stand a harder one and a source of labels only.
SUITE = (
    "health_gathering",
    "defend_the_center",
    "defend_the_line",
    "my_way_home",
    "take_cover",
    "rocket_basic",
)


def _scenario(config: str, native: str, *, armed: bool, **fields) -> Scenario:
    """A scenario with the shared actions; native: those that the scenario comes with.

    armed: whether the player has a weapon; without one an attack does nothing at all.
    """
    return Scenario(
        config=config,
        buttons=BUTTONS,
        actions=ACTIONS,
        state=("SELECTED_WEAPON_AMMO", "KILLCOUNT"),
        swings=armed,
        facts={"native_actions": native.split(), "without_effect": [] if armed else ["A"]},
        **fields,
    )


SCENARIOS = {
    scenario.config: scenario
    for scenario in (
        _scenario(
            "health_gathering",
            "L R F FL FR",
            armed=False,
            goals=MEDIKITS,
            random_return=392.5,
            expert_return=2100.0,
        ),
        _scenario(
            "defend_the_center",
            "L R A",
            armed=True,
            goals=("Demon", "MarineChainsawVzd"),
            random_return=-0.52,
            expert_return=18.1,
        ),
        _scenario(
            "defend_the_line",
            "L R A",
            armed=True,
            goals=("Demon", "MarineChainsawVzd", "DoomImp"),
            max_steps=HORIZON,
            random_return=6.03,
            expert_return=23.4,
        ),
        _scenario(
            "my_way_home",
            "L R F FL FR",
            armed=False,
            goals=("GreenArmor",),
            random_return=-0.07,
            expert_return=0.98,
        ),
        _scenario(
            "take_cover",
            "SL SR",
            armed=False,
            max_steps=HORIZON,
            random_return=175.2,
            expert_return=972.2,
        ),
        _scenario(
            "rocket_basic",
            "SL SR A",
            armed=True,
            goals=("Cacodemon",),
            keeps_end=True,
            random_return=-229.7,
            expert_return=60.5,
        ),
        _scenario(
            "health_gathering_supreme",
            "L R F FL FR",
            armed=False,
            goals=MEDIKITS,
            random_return=314.8,
            expert_return=1854.0,
        ),
        _scenario(
            "deadly_corridor",
            "L R F A SL SR",
            armed=True,
            goals=("ChaingunGuy", "Zombieman", "ShotgunGuy"),
            random_return=3.31,
            expert_return=2129.1,
        ),
    )
}

EXPERTS: Mapping[str, Callable[[DoomGame], Agent]] = {
    "health_gathering": Gatherer,
    "defend_the_center": functools.partial(Marksman, radius=16.0, price=0.5, far_tolerance=3.5),
    "defend_the_line": functools.partial(
        Marksman, radius=20.0, price=0.15, idle="A", far_tolerance=3.5
    ),
    "my_way_home": Navigator,
    "take_cover": Dodger,
    "rocket_basic": Rocketeer,
    "health_gathering_supreme": Forager,
    "deadly_corridor": Fighter,
}


class DoomSuite(DoomGame):
    """ViZDoom: eight tasks over one shared set of eight actions, for policies; played here"""

    suite = SUITE
    scenarios = SCENARIOS
    experts = EXPERTS
    noisy_share = 0.2  # more, and the noisy expert of take_cover loses most of its return
