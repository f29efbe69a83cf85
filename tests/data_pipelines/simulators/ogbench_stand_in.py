"""Stands in for the packages mujoco and ogbench: what the scene calls, nothing more.

An action moves what the target says: a button at its last plan step, a slide towards the target's
place by a tenth of a metre. `order` in the module keeps what was called.
"""

from __future__ import annotations

import sys
import types

import numpy as np

CALLS: list = []


class Joint:
    def __init__(self):
        self.qpos = np.zeros(3)


class Renderer:
    """Draws pictures, but while a mode is enabled maps: metres, or (number of the geom, kind)."""

    def __init__(self):
        self.scene, self.mode = types.SimpleNamespace(flags=np.ones(2)), "picture"

    def enable_depth_rendering(self):
        self.mode = "depth"

    def enable_segmentation_rendering(self):
        self.mode = "segmentation"

    def disable_depth_rendering(self):
        self.mode = "picture"

    disable_segmentation_rendering = disable_depth_rendering

    def update_scene(self, data, camera):
        CALLS.append((self.mode, camera))

    def render(self):
        if self.mode == "depth":
            return np.array([[0.5, 1.0], [1.004, 9.0]], np.float32)
        return np.stack([np.array([[-1, 0], [1, 2]]), np.full((2, 2), 5)], axis=-1)


class World:
    """An environment of the class SceneEnv."""

    def __init__(self, kind, **settings):
        self.settings, self._renderer = settings, None
        self.joints = {n: Joint() for n in ("drawer_slide", "window_slide", "object_joint_0")}
        self.sites = {}
        mocap = dict(mocap_pos=np.zeros((1, 3)), mocap_quat=np.zeros((1, 4)))
        self.data = types.SimpleNamespace(
            joint=self.joints.__getitem__, qvel=np.ones(4), time=0.0, **mocap
        )
        # Bodies: world, arm, gripper (of the arm), cube; geoms: floor, arm, gripper, cube.
        self.model = types.SimpleNamespace(
            body=lambda name: types.SimpleNamespace(id=["world", "ur5e/"].index(name)),
            body_rootid=np.array([0, 1, 1, 3]),
            geom_bodyid=np.array([0, 1, 2, 3]),
            site=lambda name: self.sites.setdefault(name, types.SimpleNamespace(pos=np.zeros(3))),
            vis=types.SimpleNamespace(quality=types.SimpleNamespace(offsamples=4)),
        )
        self._cube_target_mocap_ids, self._drawer_center = [0], np.array([0.33, -0.24, 0.066])
        self._cur_button_states, self.moves = np.array([0, 0]), []

    def add_objects(self, arena):
        raise NotImplementedError

    def reset(self, seed):
        CALLS.append(("reset", seed))
        self.data.time, self.moves = 0.0, []
        self.joints["object_joint_0"].qpos[:] = np.random.default_rng(seed).uniform(0.2, 0.4, 3)

    def _apply_button_states(self):
        CALLS.append(("buttons", *self._cur_button_states))

    def _initialize_renderer(self):
        CALLS.append(("renderer", self.model.vis.quality.offsamples))
        self._renderer = Renderer()

    def render(self, camera):
        return np.full((4, 4, 3), 100 + len(self.moves), np.uint8)

    def step(self, action):
        self.moves.append(action)
        self.data.time += 0.05

    def _is_in_drawer(self, place):
        return place[1] < 0

    def compute_ob_info(self):
        return {
            "proprio/effector_pos": np.array([1.0, 2.0, 3.0]),
            "proprio/effector_yaw": np.array([np.pi]),
            "proprio/gripper_opening": np.array([0.5]),
            "proprio/gripper_contact": np.array([0.25]),
        }


class Oracle:
    """Needs three steps; what it plans is the first step, which `noise` and numpy's generator make."""

    def __init__(self, env, noise):
        self.env, self.noise = env, noise

    def compute_keyframes(self, plan_input):
        return {"initial": 0.0, "reach": 0.1, "final": 0.15}, {}, {}

    def reset(self, ob, info):
        self.compute_keyframes({})
        self.left, self.done = 3, False
        self.action = np.full(5, self.noise * np.random.normal())

    def select_action(self, ob, info):
        self.left -= 1
        self.done = self.left == 0
        if self.done:
            self.reach()
        return self.action

    def reach(self):
        raise NotImplementedError


class Button(Oracle):
    def reach(self):
        self.env._cur_button_states[self.env._target_button] ^= 1


class Drawer(Oracle):
    def reach(self):
        place = self.env.sites["drawer_handle_center_target"].pos[1]
        self.env.joints["drawer_slide"].qpos[0] = place


class Window(Oracle):
    def reach(self):
        place = self.env.sites["window_handle_center_target"].pos[0]
        self.env.joints["window_slide"].qpos[0] = place


class Cube(Oracle):
    def reach(self):
        self.env.joints["object_joint_0"].qpos[:] = self.env.data.mocap_pos[0]


def install(monkeypatch):
    """Makes the imports of ogbench.scene find these."""
    lie = types.SimpleNamespace(
        SO3=types.SimpleNamespace(
            from_z_radians=lambda yaw: types.SimpleNamespace(wxyz=np.array([yaw, 0, 0, 0]))
        )
    )
    flags = types.SimpleNamespace(mjRND_SHADOW=0, mjRND_REFLECTION=1)
    plan = "ogbench.manipspace.oracles.plan"
    modules = {
        "mujoco": {"mjtRndFlag": flags, "mj_kinematics": lambda model, data: None},
        "ogbench": {},
        "ogbench.manipspace": {"lie": lie},
        "ogbench.manipspace.envs": {},
        "ogbench.manipspace.envs.scene_env": {"SceneEnv": World},
        "ogbench.manipspace.oracles": {},
        plan: {},
        f"{plan}.plan_oracle": {"PlanOracle": Oracle},
        f"{plan}.button_plan": {"ButtonPlanOracle": Button},
        f"{plan}.cube_plan": {"CubePlanOracle": Cube},
        f"{plan}.drawer_plan": {"DrawerPlanOracle": Drawer},
        f"{plan}.window_plan": {"WindowPlanOracle": Window},
    }
    for name, attributes in modules.items():
        module = types.ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
