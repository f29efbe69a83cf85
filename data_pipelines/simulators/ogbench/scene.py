"""OGBench's scene as a world of its own environment; needs ogbench and MuJoCo.

Facts that decide what is here, of ogbench 1.2.2 and mujoco 4.0.0:

* numpy's global generator drives the oracles, the environment's own the scene: both are seeded with
  every episode.
* The environment draws buttons, drawer and window at random; they are set to the task's after it.
* MuJoCo reads the number of samples per pixel when a renderer is made, shadows and reflections from
  flags of its scene. Under a software renderer these three are most of the cost of a step.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from ogbench.manipspace import lie
from ogbench.manipspace.envs.scene_env import SceneEnv
from ogbench.manipspace.oracles.plan.button_plan import ButtonPlanOracle
from ogbench.manipspace.oracles.plan.cube_plan import CubePlanOracle
from ogbench.manipspace.oracles.plan.drawer_plan import DrawerPlanOracle
from ogbench.manipspace.oracles.plan.plan_oracle import PlanOracle
from ogbench.manipspace.oracles.plan.window_plan import WindowPlanOracle

from data_pipelines.simulators.ogbench.chain import Chain
from data_pipelines.simulators.ogbench.maps import MAPS, draw_map
from data_pipelines.simulators.ogbench.tasks import BUTTON_OF, TASKS, Readings, Stage, holds
from data_pipelines.simulators.remote.host import Unusable, World

SETTLED = 10  # steps, half a second, that the goals of a task hold before it is solved
_HIGHEST = 0.12  # metres; a cube above is over the drawer, in a gripper
_SCATTER = 0.005  # metres around the drawer's middle where the cube is put, as OGBench's own data
_ORACLES = {
    "cube": CubePlanOracle,
    "button": ButtonPlanOracle,
    "drawer": DrawerPlanOracle,
    "window": WindowPlanOracle,
}
_GRIPPER = "ur5e/robotiq/"
_NAMES = {"wrist": _GRIPPER + "wrist"}  # of cameras in the model, where it has other ones
_FLAGS = {
    "shadows": mujoco.mjtRndFlag.mjRND_SHADOW,
    "reflections": mujoco.mjtRndFlag.mjRND_REFLECTION,
}


class MoreViews(SceneEnv):
    """The scene with two more cameras.

    `side` looks across the view of `front_pixels`, in which depth is hidden. `wrist` turns with the
    gripper: it sees the fingers, and what lies below them or is between them.
    """

    def add_objects(self, arena_mjcf: Any) -> None:
        super().add_objects(arena_mjcf)
        arena_mjcf.worldbody.add(
            "camera", name="side", pos=(0.45, -0.95, 0.75), xyaxes=(1, 0, 0, 0, 0.62, 0.78)
        )
        # Beside the plane that the fingers move in, and tilted by 26 degrees towards them.
        arena_mjcf.find("body", _GRIPPER + "base").add(
            "camera", name="wrist", pos=(-0.08, 0, 0.04), xyaxes=(0, -1, 0, -0.9, 0, 0.44), fovy=75
        )


class Scene(World):
    """settings: see `ogbench.simulator.SETTINGS`."""

    packages = ("ogbench", "mujoco")

    def __init__(self, size: int, cameras: list[str], settings: dict[str, Any]):
        super().__init__(size, cameras, settings)
        self._env = MoreViews(
            "scene",
            mode="data_collection",
            width=size,
            height=size,
            visualize_info=False,
            terminate_at_goal=False,
        )
        self._env.reset(seed=0)  # makes the model
        self._render = _renderer(self._env, settings)
        self._oracles = {
            kind: oracle(env=self._env, noise=settings["noise"])
            for kind, oracle in _ORACLES.items()
        }

    def begin(self, seed: int, task: str) -> None:
        self._task = TASKS[task]
        self._chain: Chain | None = None
        self._steps = self._settled = self._reached = 0
        np.random.seed(seed)
        self._env.reset(seed=seed)
        env, data = self._env, self._env.data
        env._cur_button_states = np.array(self._task.buttons)
        data.joint("drawer_slide").qpos[0] = self._task.drawer
        data.joint("window_slide").qpos[0] = self._task.window
        data.qvel[:] = 0
        env._apply_button_states()  # and MuJoCo's forward pass

    def step(self, action: np.ndarray) -> tuple[float, bool]:
        self._env.step(np.clip(action, -1.0, 1.0))
        self._steps += 1
        now, stages = self._readings(), self._task.stages
        while self._reached < len(stages) and holds(stages[self._reached], now):
            self._reached += 1
        solved = all(holds(goal, now) for goal in self._task.goals)
        self._settled = self._settled + 1 if solved else 0
        given_up = self._chain is not None and self._chain.over and not solved
        return float(self.success()), self.success() or given_up

    def frames(self) -> dict[str, np.ndarray]:
        shown = next((view for view in self.cameras if view not in MAPS), self.cameras[0])
        return {
            view: draw_map(self._env, view, _in_model(shown))
            if view in MAPS
            else self._render(_in_model(view))
            for view in self.cameras
        }

    def state(self) -> np.ndarray:
        info = self._env.compute_ob_info()
        yaw = info["proprio/effector_yaw"]
        grip = info["proprio/gripper_opening"], info["proprio/gripper_contact"]
        return np.concatenate([info["proprio/effector_pos"], np.cos(yaw), np.sin(yaw), *grip])

    def success(self) -> bool:
        return self._settled >= SETTLED

    def expert_action(self) -> np.ndarray:
        """Stands still once its stages are over."""
        if self._chain is None:
            self._chain = Chain(
                self._task.stages,
                begin=self._plan,
                holds=lambda stage: holds(stage, self._readings()),
                attempts=self.settings["attempts"],
            )
        action = self._chain.action(self._steps)
        return np.zeros(5) if action is None else np.clip(action, -1.0, 1.0)

    def facts(self) -> dict[str, Any]:
        """stages_reached: how many, in order. Of the expert: see `Chain.phases`."""
        phases = self._chain.phases() if self._chain else {}
        return {"stages_reached": self._reached} | phases

    def _readings(self) -> Readings:
        env, data = self._env, self._env.data
        cube = data.joint("object_joint_0").qpos[:3]
        return Readings(
            buttons=env._cur_button_states,
            drawer=float(data.joint("drawer_slide").qpos[0]),
            window=float(data.joint("window_slide").qpos[0]),
            cube_stored=bool(env._is_in_drawer(cube) and cube[2] < _HIGHEST),
        )

    def _plan(self, stage: Stage) -> OraclePlan:
        """Sets the environment's target as the stage has it; the oracle reads it there."""
        env, kind = self._env, "button" if stage.thing in BUTTON_OF else stage.thing
        env._target_task = kind
        if kind == "button":
            env._target_button = BUTTON_OF[stage.thing]
        elif kind == "drawer":
            env.model.site("drawer_handle_center_target").pos[1] = stage.goal
        elif kind == "window":
            env.model.site("window_handle_center_target").pos[0] = stage.goal
        else:
            target = env._cube_target_mocap_ids[0]
            place = env._drawer_center.copy()
            place[:2] += np.random.uniform(-_SCATTER, _SCATTER, 2)
            turn = lie.SO3.from_z_radians(np.random.uniform(0, 2 * np.pi))
            env.data.mocap_pos[target], env.data.mocap_quat[target] = place, turn.wxyz
        mujoco.mj_kinematics(env.model, env.data)
        return OraclePlan(self._oracles[kind], env)


class OraclePlan:
    """One plan of an oracle, made of the scene as it stands; see `chain.Plan`."""

    def __init__(self, oracle: PlanOracle, env: SceneEnv):
        self._oracle, self._env = oracle, env
        compute = type(oracle).compute_keyframes

        def keep_times(plan_input):
            times, poses, grasps = compute(oracle, plan_input)
            self._times = times
            return times, poses, grasps

        oracle.compute_keyframes = keep_times
        oracle.reset(None, env.compute_ob_info())
        self._begin = env.data.time

    @property
    def done(self) -> bool:
        return self._oracle.done

    @property
    def keyframe(self) -> str:
        now = self._env.data.time - self._begin + 1e-7  # as the oracle rounds
        return next((name for name, time in self._times.items() if time > now), [*self._times][-1])

    def action(self) -> np.ndarray:
        return self._oracle.select_action(None, self._env.compute_ob_info())


def _in_model(camera: str) -> str:
    return _NAMES.get(camera, camera)


def _renderer(env: SceneEnv, settings: dict[str, Any]):
    """camera -> uint8 (size, size, 3), drawn as the settings say. Raises Unusable without OpenGL."""
    env.model.vis.quality.offsamples = settings["multisamples"]
    try:
        env._initialize_renderer()
    except Exception as error:  # of OpenGL's loaders: ImportError, AttributeError, RuntimeError
        raise Unusable(
            f"MuJoCo cannot draw ({type(error).__name__}: {error}); install the system's EGL and "
            "Mesa libraries, or set MUJOCO_GL=osmesa and install libosmesa6"
        ) from error
    for name, flag in _FLAGS.items():
        env._renderer.scene.flags[flag] = settings[name]
    return lambda camera: env.render(camera=camera).copy()
