"""`prepare coinrun`: collects random and sticky play of CoinRun."""

from __future__ import annotations

import argparse
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.simulators.coinrun.simulator import LEVELS, CoinRun, check_size
from data_pipelines.simulators.recipe import SimulatorRecipe

# Genie's case study plays at random. Of actions that are held a code can tell more: a jump takes
# several steps.
AMOUNTS = {
    f"coinrun_{level}_{behaviour}": amount
    for level in LEVELS
    for behaviour, amount in (("random", 24_000), ("sticky", 12_000))
}


class CoinRunRecipe(SimulatorRecipe):
    """A recipe told by levels and behaviours; `amounts` holds all of them."""

    def add_amounts(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--levels", default="hard", help=f"{' or '.join(LEVELS)}, or both, by a comma"
        )
        parser.add_argument(
            "--behaviour", default="random,sticky", help="who plays, separated by commas"
        )
        self.add_scale(parser)

    def options(self, args: argparse.Namespace) -> dict[str, Any]:
        check_size(args.size)
        return super().options(args)

    def plan_of(self, args: argparse.Namespace) -> dict[str, int]:
        names = [
            f"coinrun_{level}_{behaviour}"
            for level in _listed("--levels", args.levels)
            for behaviour in _listed("--behaviour", args.behaviour)
        ]
        for name in names:
            self._parts(name)
        return self.scaled({name: self.amounts[name] for name in names}, args)


def _listed(flag: str, text: str) -> list[str]:
    """'easy,hard' -> ['easy', 'hard']; raises DataError for one that is there twice."""
    items = [item.strip() for item in text.split(",")]
    if len(set(items)) < len(items):
        raise DataError(f"{flag}={text}: give each once")
    return items


RECIPE = CoinRunRecipe(
    CoinRun, "CoinRun: levels of a platform game, random and sticky play; played here", AMOUNTS
)
