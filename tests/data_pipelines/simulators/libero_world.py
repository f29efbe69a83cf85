"""Stands in for LIBERO's environments and for MuJoCo's renderer: a hand, a box, a basket, a drawer
and a knob, without physics.

It keeps LIBERO's traps: `reset` places fixtures by NumPy's global generator, every reset adds an
initializer that draws from it first, and some stored states do not fit.
"""

from __future__ import annotations

import os
import pathlib
import types
from typing import ClassVar

import numpy as np

from data_pipelines.simulators.libero.definition import parse_definition
from data_pipelines.simulators.libero.motion import matrix_of, rotation_about, rotation_vector

HAND, ROTATION, GRIP, MILK = slice(0, 3), slice(3, 6), 6, slice(7, 10)
DRAWER, KNOB, HELD = 10, 11, 12  # places in qpos
STATE = 14  # numbers of a state: time and qpos
_NONE, _MILK, _DRAWER, _KNOB = range(4)  # what is held
_NAMES = ["world", "robot0_base", "milk_1", "basket_1", "cabinet_1", "drawer", "stove_1", "button"]
_BODIES = {name: number for number, name in enumerate(_NAMES)}
_PULL = np.array([0.0, -1.0, 0.0])  # axis of the drawer, whose joint is negative when it is open
_UP = np.array([0.0, 0.0, 1.0])
# body, half sides; the last one is seen and not touched
_GEOMS = [
    ("robot0_base", (0.05, 0.05, 0.05)),
    ("milk_1", (0.02, 0.03, 0.04)),
    ("basket_1", (0.08, 0.08, 0.03)),
    ("cabinet_1", (0.1, 0.06, 0.1)),
    ("drawer", (0.04, 0.008, 0.008)),
    ("button", (0.012, 0.034, 0.024)),
    ("milk_1", (9.0, 9.0, 9.0)),
]


class RandomizationError(Exception):
    pass


def first_state(index):
    """A stored state (STATE,): the box somewhere else in each."""
    rng = np.random.default_rng(index)
    qpos = np.zeros(STATE - 1)
    qpos[HAND], qpos[ROTATION] = (-0.1, 0.0, 0.3), (np.pi, 0.0, 0.0)
    qpos[MILK] = (*rng.uniform(-0.03, 0.03, 2) + (-0.1, -0.2), 0.04)
    return np.concatenate([[0.0], qpos])


class Wrapper:
    """What LIBERO's ControlEnv is here. lost: what it raises without its assets."""

    lost: ClassVar[Exception] = FileNotFoundError("assets/lost.xml")

    def __init__(self, bddl_file_name, **settings):
        assert settings == {
            "use_camera_obs": False,
            "has_offscreen_renderer": False,
            "ignore_done": True,
        }
        if "lost" in bddl_file_name:
            raise self.lost
        self.env = World(pathlib.Path(bddl_file_name))


class World:
    """clashes: resets that fail, for bad luck with places."""

    clashes = 0

    def __init__(self, file):
        self._goals = parse_definition(file.read_text(), str(file)).goals
        self._glued = "glued" in file.name  # the box cannot be lifted
        self.parsed_problem = {"problem_name": "libero_tabletop_manipulation"}
        self.object_property_initializers = []
        self.obj_body_id = {name: _BODIES[name] for name in _NAMES if name.endswith("_1")}
        self.objects_dict = {"milk_1": None, "basket_1": None}
        self.object_sites_dict = {
            "basket_1_contain_region": _site("basket_1", []),
            "cabinet_1_top_region": _site("cabinet_1", ["slide"]),
            "table_left_region": _site("table", []),
        }
        self.sim = Sim(self)
        self.qpos, self.time = first_state(0)[1:], 0.0
        self.fixtures = {"cabinet_1": np.zeros(3), "stove_1": np.zeros(3)}

    def seed(self, seed):
        np.random.seed(seed)

    def reset(self):
        if World.clashes:
            World.clashes -= 1
            raise RandomizationError
        self.object_property_initializers.append(object())
        for _ in self.object_property_initializers:
            np.random.uniform()
        shift = np.random.uniform(-0.02, 0.02, (2, 3)) * [1, 1, 0]
        self.fixtures["cabinet_1"] = np.array([0.1, -0.4, 0.1]) + shift[0]
        self.fixtures["stove_1"] = np.array([0.1, 0.35, 0.02]) + shift[1]
        self.qpos, self.time = first_state(np.random.randint(1000))[1:], 0.0
        return self._get_observations()

    def step(self, action):
        assert action.shape == (7,) and np.abs(action).max() <= 1
        move = 0.05 * np.asarray(action[:3])
        turn = 0.5 * np.asarray(action[3:6])
        angle = np.linalg.norm(turn)
        rotation = self.rotation()
        if angle > 0:
            rotation = rotation_about(turn / angle, angle) @ rotation
        self.qpos[HAND] += move
        self.qpos[ROTATION] = rotation_vector(rotation)
        self._grip(action[6])
        held = self.qpos[HELD]
        if held == _MILK:
            self.qpos[MILK] += move
        elif held == _DRAWER:
            self.qpos[DRAWER] = np.clip(self.qpos[DRAWER] + move @ _PULL, -0.16, 0.01)
        elif held == _KNOB:
            self.qpos[KNOB] = np.clip(self.qpos[KNOB] + turn[2], -0.005, 2.1)
        self.time += 0.05
        solved = self._check_success()
        return self._get_observations(), float(solved), solved, {}

    def _grip(self, action):
        self.qpos[GRIP] = np.clip(self.qpos[GRIP] + 0.25 * np.sign(action), 0, 1)
        if self.qpos[GRIP] < 0.75:
            if self.qpos[HELD] == _MILK:
                self.qpos[9] = 0.04  # it falls
            self.qpos[HELD] = _NONE
        elif self.qpos[HELD] == _NONE and action > 0:
            near = {
                _MILK: np.linalg.norm(self.qpos[HAND] - self.qpos[MILK]) < 0.04 and not self._glued,
                _DRAWER: np.linalg.norm(self.qpos[HAND] - self.place("handle")) < 0.03,
                _KNOB: np.linalg.norm(self.qpos[HAND] - self.place("button")) < 0.05,
            }
            self.qpos[HELD] = next((thing for thing, close in near.items() if close), _NONE)

    def rotation(self):
        turn = self.qpos[ROTATION]
        return rotation_about(turn / np.linalg.norm(turn), np.linalg.norm(turn))

    def place(self, name):
        """(3,) of a body, the drawer's handle or a region."""
        cabinet = self.fixtures["cabinet_1"] + self.qpos[DRAWER] * _PULL
        return {
            "milk_1": self.qpos[MILK],
            "basket_1": np.array([-0.1, 0.2, 0.03]),
            "cabinet_1": self.fixtures["cabinet_1"],
            "stove_1": self.fixtures["stove_1"],
            "button": self.fixtures["stove_1"] + [0, 0, 0.03],
            "drawer": self.fixtures["cabinet_1"],
            "handle": cabinet + [0, 0.1, 0.08],
            "cabinet_1_top_region": cabinet + [0, 0.0, 0.05],
            "basket_1_contain_region": np.array([-0.1, 0.2, 0.03]),
            "table_left_region": np.array([-0.2, 0.3, 0.0]),
        }.get(name, np.array([-0.6, 0.0, 0.0]))

    def _eval_predicate(self, goal):
        kind, thing, *where = goal
        if kind in ("in", "on"):
            apart = np.linalg.norm((self.place(where[0]) - self.qpos[MILK])[:2])
            shut = where[0].startswith("cabinet") and self.qpos[DRAWER] > -0.1
            return self.qpos[HELD] != _MILK and apart < 0.05 and not shut
        return {
            "open": self.qpos[DRAWER] < -0.14,
            "close": self.qpos[DRAWER] > -0.005,
            "turnon": self.qpos[KNOB] > 0.5,
            "wiped": False,
        }[kind]

    def _check_success(self):
        return all(self._eval_predicate([g.predicate.lower(), *g.arguments]) for g in self._goals)

    def get_object(self, name):
        ranges = {"default_open_ranges": [-0.16, -0.14], "default_close_ranges": [0.0, 0.005]}
        ranges |= {"default_turnon_ranges": [0.5, 2.1], "default_turnoff_ranges": [-0.005, 0.0]}
        joints = ["hinge"] if name == "stove_1" else []
        return types.SimpleNamespace(joints=joints, object_properties={"articulation": ranges})

    def _get_observations(self):
        turn = self.qpos[ROTATION]
        angle = np.linalg.norm(turn)
        quaternion = np.append(np.sin(angle / 2) * turn / angle, np.cos(angle / 2))
        np.testing.assert_allclose(matrix_of(quaternion), self.rotation(), atol=1e-9)
        width = 0.04 * (1 - self.qpos[GRIP])
        return {
            "robot0_eef_pos": self.qpos[HAND].copy(),
            "robot0_eef_quat": quaternion,
            "robot0_joint_pos": self.qpos[:7].copy(),
            "robot0_gripper_qpos": np.array([width, -width]),
        }

    def _post_process(self):
        pass

    def _update_observables(self, force):
        assert force

    def close(self):
        self.sim = None


def _site(parent, joints):
    return types.SimpleNamespace(parent_name=parent, joints=joints)


class Sim:
    """robosuite's MjSim: model and data, and MuJoCo's below them."""

    def __init__(self, world):
        self._world = world
        bodies = [_BODIES[name] for name, _ in _GEOMS]
        parents = np.zeros(len(_NAMES), int)
        parents[_BODIES["drawer"]], parents[_BODIES["button"]] = 4, 6
        roots = np.arange(len(_NAMES))
        roots[_BODIES["drawer"]], roots[_BODIES["button"]] = 4, 6
        touch = np.array([1] * (len(_GEOMS) - 1) + [0])
        model = types.SimpleNamespace(
            geom_bodyid=np.array(bodies),
            body_parentid=parents,
            body_rootid=roots,
            geom_contype=touch,
            geom_conaffinity=touch,
            geom_aabb=np.array([(0, 0, 0, *half) for _, half in _GEOMS]),
            jnt_qposadr=np.array([DRAWER, KNOB]),
            jnt_type=np.array([2, 3]),
            jnt_bodyid=np.array([_BODIES["drawer"], _BODIES["button"]]),
            vis=types.SimpleNamespace(quality=types.SimpleNamespace(offsamples=4)),
        )
        self.model = types.SimpleNamespace(
            _model=model,
            body_name2id=_BODIES.__getitem__,
            joint_name2id=["slide", "hinge"].index,
            get_xml=lambda: '<mesh file="/home/me/site-packages/libero/assets/milk.xml"/>',
        )
        self.data = types.SimpleNamespace(get_site_xpos=world.place)

    def __getattribute__(self, name):
        if name == "data":  # as it is now
            self._read(object.__getattribute__(self, "data"))
        return object.__getattribute__(self, name)

    def _read(self, data):
        world, places = self._world, []
        for name, _ in _GEOMS:
            places.append(world.place("handle" if name == "drawer" else name))
        knob = rotation_about(_UP, world.qpos[KNOB])
        turns = [knob if name == "button" else np.eye(3) for name, _ in _GEOMS]
        data._data = types.SimpleNamespace(
            qpos=world.qpos,
            xpos=np.stack([world.place(name) for name in _NAMES]),
            geom_xpos=np.stack(places),
            geom_xmat=np.stack(turns).reshape(-1, 9),
            xaxis=np.stack([_PULL, _UP]),
            xanchor=np.stack([world.place("drawer"), world.place("button")]),
        )

    def get_state(self):
        values = np.concatenate([[self._world.time], self._world.qpos])
        return types.SimpleNamespace(flatten=lambda: values)

    def set_state_from_flattened(self, state):
        self._world.time, self._world.qpos = state[0], state[1:].copy()

    def forward(self):
        pass


class mjtRndFlag:
    mjRND_SHADOW, mjRND_REFLECTION = 0, 2


class MjvOption:
    def __init__(self):
        self.geomgroup = np.ones(6, np.uint8)


class Renderer:
    """A picture that the hand's place decides, upright: its upper half is bright.

    Black, as those of a renderer that died, where the environment says TEST_LIBERO_DARK.
    """

    alive = 0

    def __init__(self, model, height, width):
        self.samples = model.vis.quality.offsamples
        self.scene = types.SimpleNamespace(flags=np.ones(10, np.uint8))
        self._shape = (height, width, 3)
        Renderer.alive += 1

    def update_scene(self, data, camera, option):
        assert option.geomgroup[0] == 0 and camera in ("agentview", "robot0_eye_in_hand")
        self.scene.flags[:] = 1
        self._seed = [len(camera)]
        self._seed += [int(value * 1e6) % 2**31 for value in np.abs(data.qpos[:7])]

    def render(self):
        rng = np.random.default_rng(self._seed)
        picture = rng.integers(0, 100, self._shape, np.uint8)
        picture[: self._shape[0] // 2] += np.uint8(100 + 20 * self.scene.flags[0])
        return picture * 0 if os.environ.get("TEST_LIBERO_DARK") else picture

    def close(self):
        Renderer.alive -= 1
