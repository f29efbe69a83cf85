"""Ground truth of a LIBERO scene, for scripted experts: where things are, and what moves how."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from data_pipelines.simulators.libero.definition import Goal

HINGE = 3  # MuJoCo's mjJNT_HINGE; drawers slide


class Box(NamedTuple):
    """A box along the world's axes, metres: its lowest and highest corner, (3,) each."""

    low: np.ndarray
    high: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        return (self.low + self.high) / 2


class Part(NamedTuple):
    """A box in its own frame, metres: centre (3,), half sides (3,), axes as columns (3, 3)."""

    centre: np.ndarray
    half: np.ndarray
    axes: np.ndarray

    def corners(self) -> np.ndarray:
        """(8, 3)."""
        signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, 8).T
        return self.centre + (signs * self.half) @ self.axes.T


class Joint(NamedTuple):
    """A drawer, door or knob. value: metres or radians. axis, anchor: (3,) in the world."""

    value: float
    hinge: bool
    axis: np.ndarray
    anchor: np.ndarray
    body: int


class Scene:
    """Reads a running LIBERO environment (its `env` without the wrapper) and changes nothing."""

    def __init__(self, env: Any):
        self._env = env

    @property
    def _model(self) -> Any:
        return self._env.sim.model._model

    @property
    def _data(self) -> Any:
        return self._env.sim.data._data

    def holds(self, goal: Goal) -> bool:
        """Whether this part of the goal is reached now."""
        return bool(self._env._eval_predicate([goal.predicate.lower(), *goal.arguments]))

    def position(self, name: str) -> np.ndarray:
        """Of an object, a fixture or a region: (3,)."""
        if name in self._env.obj_body_id:
            return np.array(self._data.xpos[self._env.obj_body_id[name]])
        return np.array(self._env.sim.data.get_site_xpos(name))

    def is_thing(self, name: str) -> bool:
        """Whether it is an object or fixture, not a region."""
        return name in self._env.obj_body_id

    def owner(self, region: str) -> str:
        """The object or fixture that a region belongs to; "" for a place on the table."""
        parent = self._env.object_sites_dict[region].parent_name
        return parent if parent in self._env.obj_body_id else ""

    def movable(self, name: str) -> bool:
        return name in self._env.objects_dict

    def obstacles(self, thing: str) -> list[Part]:
        """What can be touched of all but the robot and one object."""
        model = self._model
        roots = np.asarray(model.body_rootid)[model.geom_bodyid]
        robot = model.body_rootid[self._env.sim.model.body_name2id("robot0_base")]
        mine = model.body_rootid[self._env.obj_body_id[thing]]
        return [self._part(geom) for geom in self._touchable() if roots[geom] not in (robot, mine)]

    def parts(self, name: str) -> list[Part]:
        """What of an object or fixture can be touched."""
        return self.parts_below(self._env.obj_body_id[name])

    def parts_below(self, body: int) -> list[Part]:
        """What of a body, and of those that hang on it, can be touched."""
        model, found = self._model, []
        for geom in self._touchable():
            above = model.geom_bodyid[geom]
            while above not in (0, body):
                above = model.body_parentid[above]
            if above == body:
                found.append(self._part(geom))
        return found

    def _touchable(self) -> np.ndarray:
        """Numbers of the geometries that collide."""
        model = self._model
        return np.flatnonzero((model.geom_contype != 0) | (model.geom_conaffinity != 0))

    def _part(self, geom: int) -> Part:
        axes = np.array(self._data.geom_xmat[geom]).reshape(3, 3)
        aabb = self._model.geom_aabb[geom]
        return Part(self._data.geom_xpos[geom] + axes @ aabb[:3], np.array(aabb[3:]), axes)

    def box(self, name: str) -> Box:
        corners = np.concatenate([part.corners() for part in self.parts(name)])
        return Box(corners.min(0), corners.max(0))

    def joint(self, name: str) -> Joint | None:
        """Of a region (a drawer's inside) or a fixture (microwave, stove); None if nothing moves."""
        sites = self._env.object_sites_dict
        names = sites[name].joints if name in sites else self._env.get_object(name).joints
        if not names or self.movable(name):
            return None
        number = self._env.sim.model.joint_name2id(list(names)[0])
        model, data = self._model, self._data
        return Joint(
            value=float(data.qpos[model.jnt_qposadr[number]]),
            hinge=int(model.jnt_type[number]) == HINGE,
            axis=np.array(data.xaxis[number]),
            anchor=np.array(data.xanchor[number]),
            body=int(model.jnt_bodyid[number]),
        )

    def joint_goal(self, name: str, state: str) -> float:
        """The joint's value in the middle of the range that counts as open, close, turnon, turnoff."""
        sites = self._env.object_sites_dict
        fixture = self._env.get_object(sites[name].parent_name if name in sites else name)
        return float(np.mean(fixture.object_properties["articulation"][f"default_{state}_ranges"]))
