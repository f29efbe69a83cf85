"""How an arm does one thing: generators of waypoints, planned while they are followed.

Each takes the scene and reads it again wherever what comes next depends on what happened.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_pipelines.simulators.libero.grasps import choose_grasp
from data_pipelines.simulators.libero.motion import (
    CLOSE,
    DOWN,
    KEEP,
    OPEN,
    Waypoint,
    hand,
    rotation_about,
    turned,
)
from data_pipelines.simulators.libero.scene import Part, Scene

UP = np.array([0.0, 0.0, 1.0])
Plan = Iterator[Waypoint]
_ROOM = 0.12  # metres between what is carried and what it is carried over
# Of a hand at a handle, from the vertical: the flatter, the further from the handles above.
_TILTS = np.deg2rad([75, 60, 45])
_HALF_HAND = 0.1  # metres, of the hand along its fingers, and from it to their tips
_PRESHAPE = 4  # steps that close the hand half-way, so that a finger fits behind a handle
_OUTWARD = 0.02  # metres from a drawer's middle to where things go
_FLAT, _WIDE = 0.03, 0.08  # metres; what is lower and wider on the table is pushed, not held
_FINGER = 0.01  # metres from between closed fingers to their outside
_BEYOND = 0.03  # metres further than a drawer must go: the arm lags


def put(
    scene: Scene, thing: str, target: str, gripper: np.ndarray, rng: np.random.Generator
) -> Plan:
    """Picks `thing` up and puts it on or in `target`, an object or a region.

    gripper: where it is, (3,), kept up to date by the caller.
    """
    shift = _place(scene, thing, target) - _foot(scene, thing)
    grasp = choose_grasp(thing, scene.parts(thing), scene.obstacles(thing), shift, rng)
    rotation = turned(grasp.yaw)
    height = max(grasp.point[2], _place(scene, thing, target)[2] + 0.05) + _ROOM
    height += rng.uniform(0, 0.04)
    above = np.array([*grasp.point[:2], height]) + _jitter(rng, 0.01)
    yield Waypoint("reach", above, rotation, OPEN, 0.02, 70)
    yield Waypoint("lower", grasp.point + 0.05 * UP, rotation, OPEN, 0.012, 40)
    yield Waypoint("lower", grasp.point, rotation, OPEN, 0.006, 40)
    yield Waypoint("grasp", grasp.point, rotation, CLOSE, np.inf, 12, 12)
    yield Waypoint("lift", np.array([*grasp.point[:2], height]), rotation, CLOSE, 0.025, 50)
    # From here on by where the thing is in the hand, which the grasp has shifted.
    drop = gripper + _place(scene, thing, target) - _foot(scene, thing)
    over = np.array([*drop[:2], max(height, drop[2])])
    over = over + _jitter(rng, 0.004)
    yield Waypoint("carry", over, rotation, CLOSE, 0.012, 90, carries=thing)
    drop = gripper + _place(scene, thing, target) - _foot(scene, thing)
    yield Waypoint("put", drop, rotation, CLOSE, 0.01, 50, carries=thing)
    yield Waypoint("release", drop, rotation, OPEN, np.inf, 8, 8)
    yield Waypoint("retreat", drop + _ROOM * UP, rotation, OPEN, 0.04, 30)


def _foot(scene: Scene, thing: str) -> np.ndarray:
    """The point of a thing that goes to the target's `_place`: its origin, at its lowest height.

    LIBERO compares origins.
    """
    return np.array([*scene.position(thing)[:2], scene.box(thing).low[2]])


def _place(scene: Scene, thing: str, target: str) -> np.ndarray:
    """Where the foot of a thing goes: (3,)."""
    x, y, z = scene.position(target)
    if scene.is_thing(target):
        box = scene.box(target)
        inside = "plate" in target or "tray" in target
        return np.array([x, y, (box.low[2] + 0.03 if inside else box.high[2]) + 0.015])
    owner = scene.owner(target)
    if owner and scene.movable(owner):  # a basket: let go above its rim
        return np.array([x, y, scene.box(owner).high[2] + 0.02])
    joint = scene.joint(target)
    if joint is not None:  # a drawer: further out, away from what is above it
        x, y, z = [x, y, z] + np.sign(joint.value) * _OUTWARD * joint.axis
    return np.array([x, y, z + 0.02])


def is_pushed(scene: Scene, thing: str, target: str) -> bool:
    """Whether a thing is too flat and wide to be held, and goes to another place on the table."""
    if scene.is_thing(target) or scene.owner(target):
        return False
    sides = scene.box(thing).high - scene.box(thing).low
    return bool(sides[2] < _FLAT and min(sides[:2]) > _WIDE)


def push_flat(
    scene: Scene, thing: str, target: str, gripper: np.ndarray, rng: np.random.Generator
) -> Plan:
    """Pushes a thing that is too flat to hold over the table to `target`, from behind."""
    del gripper
    here, there, box = scene.position(thing), scene.position(target), scene.box(thing)
    way = (there - here) * [1, 1, 0]
    push = way / max(np.linalg.norm(way), 1e-6)
    radius = max(box.high[:2] - box.low[:2]) / 2 + _FINGER
    behind = np.array([*here[:2], box.low[2] + 0.012]) - (radius + 0.03) * push
    contact = np.array([*there[:2], box.low[2] + 0.012]) - radius * push
    yield Waypoint("reach", behind + 0.15 * UP + _jitter(rng, 0.005), DOWN, CLOSE, 0.02, 90)
    yield Waypoint("lower", behind, DOWN, CLOSE, 0.012, 50)
    yield Waypoint("push", contact, DOWN, CLOSE, 0.008, 90)
    yield Waypoint("retreat", contact - 0.03 * push + 0.15 * UP, DOWN, CLOSE, 0.04, 40)


def open_drawer(scene: Scene, region: str, gripper: np.ndarray, rng: np.random.Generator) -> Plan:
    """Takes a drawer by its handle and pulls."""
    joint = scene.joint(region)
    way = scene.joint_goal(region, "open") - joint.value
    pull = joint.axis * np.sign(way)
    handle = _outermost(scene.parts_below(joint.body), pull).centre
    tilt = _tilt(handle[2] - scene.box(scene.owner(region)).low[2])
    points = -np.sin(tilt) * pull - np.cos(tilt) * UP
    rotation = hand(points, np.cos(tilt) * pull - np.sin(tilt) * UP)
    before, handle = handle - 0.12 * points, handle + 0.006 * points
    yield Waypoint("reach", before + 0.08 * UP + _jitter(rng, 0.01), rotation, OPEN, 0.03, 90)
    yield Waypoint("reach", before, rotation, CLOSE, np.inf, _PRESHAPE, _PRESHAPE)
    yield Waypoint("reach", before, rotation, KEEP, 0.01, 40)
    yield Waypoint("lower", handle, rotation, KEEP, 0.008, 40)
    yield Waypoint("grasp", handle, rotation, CLOSE, np.inf, 10, 10)
    end = handle + pull * (abs(way) + _BEYOND)
    yield Waypoint("pull", end, rotation, CLOSE, 0.01, 70)
    yield Waypoint("release", gripper.copy(), rotation, OPEN, np.inf, 8, 8)
    yield Waypoint("retreat", gripper - 0.1 * points + 0.05 * UP, rotation, OPEN, 0.03, 40)


def _tilt(height: float) -> float:
    """Of a hand at a handle `height` metres over the table, which it must not touch; radians."""
    free = [t for t in _TILTS if height + _HALF_HAND * (np.cos(t) - np.sin(t)) > 0]
    return free[0] if free else _TILTS[-1]


def close_drawer(scene: Scene, region: str, gripper: np.ndarray, rng: np.random.Generator) -> Plan:
    """Pushes a drawer shut with a closed hand."""
    del gripper
    joint = scene.joint(region)
    way = scene.joint_goal(region, "close") - joint.value
    push = joint.axis * np.sign(way)
    handle = _outermost(scene.parts_below(joint.body), -push).centre
    front = handle - 0.07 * push
    yield Waypoint("reach", front + 0.2 * UP + _jitter(rng, 0.01), DOWN, CLOSE, 0.03, 90)
    yield Waypoint("lower", front, DOWN, CLOSE, 0.015, 60)
    yield Waypoint("push", handle + push * (abs(way) + _BEYOND), DOWN, CLOSE, 0.005, 80)
    yield Waypoint("retreat", front + 0.15 * UP, DOWN, CLOSE, 0.04, 40)


def turn_knob(
    scene: Scene, fixture: str, state: str, gripper: np.ndarray, rng: np.random.Generator
) -> Plan:
    """Takes a knob by its ridge and turns it with the hand."""
    joint = scene.joint(fixture)
    angle = scene.joint_goal(fixture, state) - joint.value
    parts = scene.parts_below(joint.body)
    ridge = max(parts, key=lambda part: part.corners()[:, 2].max())
    fingers = _thin_side(ridge)
    rotation = hand(-UP, fingers)
    point = np.array([*ridge.centre[:2], ridge.corners()[:, 2].max() - 0.02])
    yield Waypoint("reach", point + 0.15 * UP + _jitter(rng, 0.01), rotation, OPEN, 0.02, 90)
    yield Waypoint("lower", point + 0.04 * UP, rotation, OPEN, 0.01, 40)
    yield Waypoint("lower", point, rotation, OPEN, 0.006, 40)
    yield Waypoint("grasp", point, rotation, CLOSE, np.inf, 10, 10)
    for share in (0.25, 0.5, 0.75, 1.0):
        turn = rotation_about(joint.axis, share * angle)
        around = joint.anchor + turn @ (point - joint.anchor)
        yield Waypoint("turn", around, turn @ rotation, CLOSE, 0.015, 12)
    yield Waypoint("release", gripper.copy(), turn @ rotation, OPEN, np.inf, 8, 8)
    yield Waypoint("retreat", gripper + 0.15 * UP, turn @ rotation, OPEN, 0.04, 40)


def swing_shut(scene: Scene, fixture: str, gripper: np.ndarray, rng: np.random.Generator) -> Plan:
    """Pushes a door on a vertical hinge shut, along an arc, from outside."""
    del gripper
    joint = scene.joint(fixture)
    angle = scene.joint_goal(fixture, "close") - joint.value
    parts = scene.parts_below(joint.body)
    edge = max(parts, key=lambda part: np.linalg.norm((part.centre - joint.anchor)[:2])).centre
    arm = edge - joint.anchor
    motion = np.cross(joint.axis * np.sign(angle), arm)
    start = joint.anchor + 0.85 * arm - 0.07 * motion / np.linalg.norm(motion)
    yield Waypoint("reach", start + 0.25 * UP + _jitter(rng, 0.01), DOWN, CLOSE, 0.03, 90)
    yield Waypoint("lower", start, DOWN, CLOSE, 0.02, 60)
    for share in np.linspace(0.15, 1.15, 8):
        around = rotation_about(joint.axis, share * angle) @ (start - joint.anchor)
        yield Waypoint("push", joint.anchor + around, DOWN, CLOSE, 0.03, 25)
    yield Waypoint("retreat", start + 0.25 * UP, DOWN, CLOSE, 0.04, 40)


def _outermost(parts: list[Part], direction: np.ndarray) -> Part:
    return max(parts, key=lambda part: float(part.centre @ direction))


def _thin_side(part: Part) -> np.ndarray:
    """The horizontal direction across a part's thin side: (3,)."""
    level = [n for n in range(3) if abs(part.axes[2, n]) < 0.5]
    thin = min(level, key=lambda n: part.half[n])
    return part.axes[:, thin] * [1, 1, 0]


def _jitter(rng: np.random.Generator, metres: float) -> np.ndarray:
    """(3,): no two demonstrations alike."""
    return rng.normal(0, metres, 3) * [1, 1, 0.5]
