"""OGBench's scene as a simulator: eight tasks of two to six stages, each told by a sentence.

    python -m data_pipelines.simulators.remote.environments ogbench     # once: its own environment
    python -m data_pipelines.prepare ogbench --out=data/ogbench

A robot arm moves by small steps of its gripper: x, y, z, yaw and opening, each in [-1, 1]. The
scripted expert follows OGBench's oracles, stage by stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.ogbench.maps import MAPS
from data_pipelines.simulators.ogbench.tasks import TASKS
from data_pipelines.simulators.remote.environments import ENVIRONMENTS
from data_pipelines.simulators.remote.simulator import RemoteSimulator
from data_pipelines.simulators.simulator import TaskSpec

ACTION = ActionSpec("continuous", ("x", "y", "z", "yaw", "gripper"), low=-1.0, high=1.0)
PROPRIO = ("x", "y", "z", "yaw_cos", "yaw_sin", "gripper_opening", "gripper_contact")
# Cheap pictures: under a software renderer 12 times as many per second as MuJoCo's defaults (4
# samples per pixel, shadows, reflections). noise: of the oracles' plans, in shares of a step's
# range. attempts: plans of the expert per stage.
SETTINGS: Mapping[str, Any] = {
    "multisamples": 0,
    "shadows": False,
    "reflections": False,
    "noise": 0.1,
    "attempts": 3,
}
# Of a horizon. A stage takes 30 to 85 steps, and an expert that drops the cube has room to try again.
STEPS_PER_STAGE = 150


class OgbenchScene(RemoteSimulator):
    """OGBench's scene: an arm, a cube, two lock buttons, a drawer and a window; scripted experts

    A task is solved, and the episode over, when its goals have held for half a second; it is over
    too when the scripted expert plays and has no attempt left.
    """

    cameras = ("front_pixels", "side", "wrist")
    maps = MAPS
    environment = ENVIRONMENTS["ogbench"]
    world = "data_pipelines.simulators.ogbench.scene:Scene"
    settings = SETTINGS
    rendering = ", ".join(f"{key} {SETTINGS[key]}" for key in ("multisamples", "shadows")) + (
        f", reflections {SETTINGS['reflections']}"
    )
    min_distinct = 0.5

    @classmethod
    def tasks(cls) -> Mapping[str, TaskSpec]:
        return {
            name: TaskSpec(
                name=name,
                action=ACTION,
                state_names=PROPRIO,
                fps=20.0,
                language=task.sentence,
                max_steps=STEPS_PER_STAGE * len(task.stages),
                random_return=0.0,
                expert_return=1.0,
                details={"task": name, "stages": [stage.text for stage in task.stages]},
            )
            for name, task in TASKS.items()
        }
