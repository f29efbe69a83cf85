"""`prepare doom`: collects ViZDoom episodes."""

from __future__ import annotations

from data_pipelines.simulators.doom.game import Doom
from data_pipelines.simulators.recipe import recipe_of

# Random sticky play: a probe that sees only o_t stays near chance on it, which is what makes probes
# of latents telling.
# Experts stand beside it for policies and for what a code learns from skilled play.
AMOUNTS = {
    "health_gathering_sticky": 24000,
    "my_way_home_sticky": 3000,
    "defend_the_center_sticky": 3000,
    "health_gathering_noisy": 1500,
    "health_gathering_expert": 1500,
    "my_way_home_noisy": 500,
    "my_way_home_expert": 500,
    "defend_the_center_noisy": 500,
    "defend_the_center_expert": 500,
}
RECIPE = recipe_of(Doom, AMOUNTS)
