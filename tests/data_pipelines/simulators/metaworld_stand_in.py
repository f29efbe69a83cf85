"""Stands in for the packages metaworld and gymnasium: what the simulator calls, nothing more."""

from __future__ import annotations

import sys
import types

import numpy as np

from tests.data_pipelines.readers import robot_files as rf

CAMERAS = ("topview", "corner", "corner2")


class World:
    """Instant i of a reset with an even seed looks like upright(i); it succeeds at `end`."""

    end, black_from = 5, 99

    def __init__(self, **settings):
        self.settings, self.unwrapped = settings, self
        self.mujoco_renderer = types.SimpleNamespace(camera_id=None)
        self.model = types.SimpleNamespace(
            camera=lambda name: types.SimpleNamespace(id=CAMERAS.index(name))
        )
        self.instant, self.seen, self.closed = 0, -1, False

    def seed(self, seed):
        self.seen = seed

    def reset(self):
        self.instant = 0
        return np.zeros(39), {}

    def step(self, action):
        assert action.dtype == np.float32 and action[0] == np.float32(rf.action_value(self.instant))
        self.instant += 1
        success = float(self.instant == self.end)
        return np.full(39, self.instant), self.instant, False, False, {"success": success}

    def render(self):
        picture = rf.upright(self.instant, self.mujoco_renderer.camera_id)
        if self.instant >= self.black_from:
            return picture * 0
        turned = CAMERAS[self.mujoco_renderer.camera_id] != "topview"
        return np.rot90(picture, 2) if turned else picture

    def close(self):
        self.closed = True


class Expert:
    def get_action(self, state):
        return rf.actions(int(state[0]) + 1, 4)[-1].astype(np.float64)


def install(monkeypatch, world=World):
    """Makes `import metaworld` and `import gymnasium` find a world of this class."""
    policies = {"door-open-v3": Expert, "drawer-close-v3": Expert}
    modules = {
        "metaworld": {"policies": None},
        "metaworld.policies": {"ENV_POLICY_MAP": policies},
        "gymnasium": {"make": lambda name, **settings: world(**settings)},
    }
    for name, attributes in modules.items():
        module = types.ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
