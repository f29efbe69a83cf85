"""`prepare ogbench`: demonstrations of OGBench's scene by scripted experts, with their phases."""

from __future__ import annotations

from data_pipelines.simulators.demonstrations import DemonstrationRecipe
from data_pipelines.simulators.ogbench.simulator import OgbenchScene
from data_pipelines.simulators.ogbench.tasks import TASKS

EPISODES = 50  # of each task
RECIPE = DemonstrationRecipe(
    OgbenchScene,
    "OGBench's scene: demonstrations of eight tasks of two to six stages, with their phases",
    {f"{task}_expert": EPISODES for task in TASKS},
    views=OgbenchScene.cameras[:1],
)
