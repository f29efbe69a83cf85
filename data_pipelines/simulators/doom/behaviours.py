"""Who plays. A new behaviour is a class and one entry in BEHAVIOURS."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.simulators.doom.experts import EXPERTS
from data_pipelines.simulators.doom.game import DoomPlayer
from data_pipelines.simulators.doom.scenarios import SCENARIOS

KEEP = 0.7  # probability that sticky play keeps its action
EPSILON = 0.3  # share of uniform actions in noisy play


class Policy(Protocol):
    def act(self) -> int:
        """The action for the player's present state."""


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """make(scenario name, player after reset, rng) -> Policy.

    max_steps cuts episodes (0: play to the end, as returns need). skip_steps are played but not
    recorded: some scenarios always start in the same pose, and episodes whose first actions agree
    would share their first frames across splits. ground_truth: the policy reads objects or walls.
    """

    description: str
    make: Callable[[str, DoomPlayer, np.random.Generator], Policy]
    max_steps: int = 0
    skip_steps: int = 0
    ground_truth: bool = False


class Sticky:
    """A uniform action that is kept with probability KEEP at every step."""

    def __init__(self, player: DoomPlayer, rng: np.random.Generator):
        self._rng, self._count = rng, len(player.scenario.actions)
        self._action = int(rng.integers(self._count))

    def act(self) -> int:
        if self._rng.random() >= KEEP:
            self._action = int(self._rng.integers(self._count))
        return self._action


class Noisy:
    """An expert that plays a uniform action with probability EPSILON."""

    def __init__(self, expert: Policy, player: DoomPlayer, rng: np.random.Generator):
        self._expert, self._rng, self._count = expert, rng, len(player.scenario.actions)

    def act(self) -> int:
        action = self._expert.act()
        return int(self._rng.integers(self._count)) if self._rng.random() < EPSILON else action


def _expert(scenario: str, player: DoomPlayer, rng: np.random.Generator) -> Policy:
    del rng
    if scenario not in EXPERTS:
        raise DataError(f"no scripted expert for {scenario}; experts: {', '.join(EXPERTS)}")
    return EXPERTS[scenario](player)


BEHAVIOURS = {
    # Cut short so that many episodes, and with them many backgrounds, fit in few transitions.
    "sticky": Behaviour(
        f"uniform random action, kept with probability {KEEP}",
        lambda scenario, player, rng: Sticky(player, rng),
        max_steps=150,
        skip_steps=16,
    ),
    "expert": Behaviour("scripted, from the simulator's ground truth", _expert, ground_truth=True),
    "noisy": Behaviour(
        f"scripted expert, uniform random action with probability {EPSILON}",
        lambda scenario, player, rng: Noisy(_expert(scenario, player, rng), player, rng),
        ground_truth=True,
    ),
}


def split_name(name: str) -> tuple[str, str]:
    """'my_way_home_sticky' -> ('my_way_home', 'sticky'); raises DataError listing what exists."""
    scenario, _, behaviour = name.rpartition("_")
    if scenario not in SCENARIOS or behaviour not in BEHAVIOURS:
        raise DataError(
            f"unknown doom dataset {name!r}; names are <scenario>_<behaviour> with scenario one of "
            f"{', '.join(SCENARIOS)} and behaviour one of {', '.join(BEHAVIOURS)}"
        )
    return scenario, behaviour
