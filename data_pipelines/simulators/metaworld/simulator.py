"""Meta-World as a simulator: fifty tasks of a robot arm, each with a scripted expert.

    MUJOCO_GL=egl python -m data_pipelines.prepare data_pipelines.simulators.metaworld.simulator \
        --plan=door-open-v3_expert=2000,drawer-close-v3_noisy=1000 --cameras=corner2,gripperPOV \
        --out=data/metaworld

Needs `pip install metaworld "mujoco<4" packaging`.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.simulators.metaworld.labels import ACTION, ENVIRONMENT, instruction
from data_pipelines.simulators.physics import physics
from data_pipelines.simulators.recipe import recipe_of
from data_pipelines.simulators.simulator import Agent, Simulator, Step, TaskSpec

TURNED = ("corner", "corner2", "corner3")  # cameras that Meta-World mounts upside down
FPS = 80.0  # MuJoCo's time step of 2.5 ms, five of them per step
HORIZON = 500  # steps, after which the environment must be reset


def _experts() -> Mapping[str, type]:
    """Task -> class of its scripted expert; raises DataError if Meta-World is not installed."""
    try:
        import metaworld  # noqa: F401  registers the environments
        from metaworld.policies import ENV_POLICY_MAP
    except ImportError as error:
        raise DataError(
            f"this needs Meta-World ({error}); run `pip install metaworld 'mujoco<4' packaging`"
        ) from error
    return ENV_POLICY_MAP


@functools.cache
def _tasks() -> Mapping[str, TaskSpec]:
    return {
        name: TaskSpec(
            name=name,
            action=ACTION,
            state_names=ENVIRONMENT,
            fps=FPS,
            language=instruction(name),
            max_steps=HORIZON,
            details={"task": name},
        )
        for name in sorted(_experts())
    }


class MetaWorld(Simulator):
    """Meta-World: fifty manipulation tasks with a scripted expert each; played here

    An episode is done when the task is solved. Off-screen renderers of MuJoCo do not survive each
    other, so one process renders one task.
    """

    cameras = ("corner2", "corner", "corner3", "corner4", "topview", "behindGripper", "gripperPOV")
    one_task_per_process = True
    min_distinct = 0.5

    def __init__(self, **settings):
        super().__init__(**settings)
        self._open: str | None = None  # the task that runs
        self._world: Any = None

    @classmethod
    def tasks(cls) -> Mapping[str, TaskSpec]:
        return _tasks()

    @classmethod
    def sources(cls) -> dict[str, str]:
        _experts()
        return {"simulator": "metaworld"} | {
            f"{package}_version": importlib.metadata.version(package)
            for package in ("metaworld", "mujoco")
        }

    def begin(self, seed: int) -> None:
        if self._open != self.task.name:
            self.close()
            self._world = self._make()
            self._open = self.task.name
        # New positions of objects and goal in every episode, not one of fifty drawn beforehand.
        self._world._freeze_rand_vec, self._world.seeded_rand_vec = False, True
        self._world.seed(int(seed) % 2**32)
        self._observation, _ = self._world.reset()
        self._success = False

    def _make(self):
        """The environment of the present task, without the wrappers of its benchmark."""
        _experts()
        import gymnasium

        environment = gymnasium.make(
            "Meta-World/MT1",
            env_name=self.task.name,
            seed=0,
            render_mode="rgb_array",
            camera_name=self.views[0],
            width=self.size,
            height=self.size,
            disable_env_checker=True,
        )
        environment.reset()  # tells the environment that its goal may be seen
        return environment.unwrapped

    def step(self, action: np.ndarray) -> Step:
        """Moves the hand; the environment clips to [-1, 1]."""
        with physics(self.task.name):
            self._observation, reward, ended, truncated, info = self._world.step(action)
        self._success = self._success or bool(info["success"])
        return Step(float(reward), bool(ended or truncated or self._success))

    def frames(self) -> dict[str, np.ndarray]:
        return {camera: self._render(camera) for camera in self.views}

    def _render(self, camera: str) -> np.ndarray:
        world = self._world
        world.mujoco_renderer.camera_id = world.model.camera(camera).id
        picture = world.render()
        return np.ascontiguousarray(np.rot90(picture, 2) if camera in TURNED else picture)

    def state(self) -> np.ndarray:
        """The environment's observation: hand, objects, the same one step ago, goal."""
        return np.asarray(self._observation, np.float32)

    def success(self) -> bool:
        return self._success

    def expert(self) -> Agent:
        """Reads the observation; asks for more than the environment does, which clips."""
        policy = _experts()[self.task.name]()
        return lambda frames: policy.get_action(self._observation)

    def close(self) -> None:
        if self._world is not None:
            self._world.close()
            self._world = self._open = None


RECIPE = recipe_of(MetaWorld, {"door-open-v3_expert": 2000, "door-open-v3_sticky": 1000})
