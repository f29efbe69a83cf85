"""`prepare doom_suite`: collects the tasks that share their actions."""

from __future__ import annotations

from data_pipelines.simulators.doom.suite import SUITE, DoomSuite
from data_pipelines.simulators.recipe import recipe_of

# Noisy experts show policies what to do, sticky play shows a code what actions look like. Sticky
# play of the last two earns no more than chance: labels from there tell nothing of good play.
AMOUNTS = {
    f"{task}_{behaviour}": amount
    for task in (*SUITE, "health_gathering_supreme")
    for behaviour, amount in (("noisy", 18_000), ("sticky", 4000))
} | {"defend_the_line_sticky": 6000, "deadly_corridor_sticky": 6000}
RECIPE = recipe_of(DoomSuite, AMOUNTS)
