"""`prepare dmlab_sim`: collects episodes of DeepMind Lab, with fifteen actions."""

from __future__ import annotations

from data_pipelines.simulators.dmlab.levels import PHOTOGRAPHS, SUITE, TRAINING
from data_pipelines.simulators.dmlab.simulator import DmLab
from data_pipelines.simulators.recipe import recipe_of

# Of two levels not the one that is kept for evaluation, and none that needs more than the engine.
_TRAINED = [
    level for level in (*SUITE, *TRAINING) if level not in (*TRAINING.values(), *PHOTOGRAPHS)
]
AMOUNTS = {f"{level}_sticky": 3000 for level in _TRAINED}
RECIPE = recipe_of(DmLab, AMOUNTS)
