"""Where to take hold of a thing with a two-finger hand that points down."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_pipelines.simulators.libero.scene import Part

_RIMMED = ("bowl", "mug", "cup", "ramekin", "plate", "pan")  # wider than the hand
_HANDLED = ("moka_pot",)  # neither side nor rim will do
_DEEP = 0.035  # metres that the fingers reach down, at most
_RIM_DEEP = 0.025
_YAWS = np.deg2rad(np.arange(-80, 100, 10))
_TURN_COST = 0.004  # metres of width that a turn by one radian must save
_RIM_ANGLES = np.deg2rad(np.arange(0, 360, 15))
# Boxes around the point between the finger tips, metres: along the fingers, across, upward. The
# open fingers, and the hand above them.
_FINGERS = np.array([[-0.055, -0.015, 0.0], [0.055, 0.015, 0.06]])
_HAND = np.array([[-0.105, -0.035, 0.06], [0.105, 0.035, 0.25]])


class Grasp(NamedTuple):
    """point: between the finger tips, (3,). yaw: radians about the vertical."""

    point: np.ndarray
    yaw: float


def corners_of(parts: list[Part]) -> np.ndarray:
    """(8 N, 3)."""
    return np.concatenate([part.corners() for part in parts])


def width_along(corners: np.ndarray, yaw: float) -> float:
    """Metres that the points (N, 3) measure along the fingers of a hand turned by `yaw`."""
    return float(np.ptp(corners[:, :2] @ np.array([-np.sin(yaw), np.cos(yaw)])))


def hits(grasp: Grasp, obstacles: list[Part]) -> int:
    """How many of the parts the hand would touch on its way down."""
    along = np.array([-np.sin(grasp.yaw), np.cos(grasp.yaw), 0.0])
    across = np.array([np.cos(grasp.yaw), np.sin(grasp.yaw), 0.0])
    frame = np.stack([along, across, [0.0, 0.0, 1.0]], axis=1)
    count = 0
    for part in obstacles:
        corners = (part.corners() - grasp.point) @ frame
        low, high = corners.min(0), corners.max(0)
        count += any(((low < box[1]) & (high > box[0])).all() for box in (_FINGERS, _HAND))
    return count


def choose_grasp(
    name: str,
    parts: list[Part],
    obstacles: list[Part],
    shift: np.ndarray,
    rng: np.random.Generator,
) -> Grasp:
    """Of an object by its name and parts: at a rim or handle if it has one, else across its narrow
    side.

    Where the hand would touch obstacles here, or after the object has moved by `shift` (3,), the
    grasp that touches fewest of them.
    """
    if any(word in name for word in _HANDLED):
        grasps = [_handle_grasp(parts)]
    elif any(word in name for word in _RIMMED):
        grasps = _rim_grasps(name, parts, rng)
    else:
        grasps = _side_grasps(parts)

    def touched(grasp: Grasp) -> int:
        there = Grasp(grasp.point + shift, grasp.yaw)
        return hits(grasp, obstacles) + hits(there, obstacles)

    return min(grasps, key=touched)  # the first of equals


def _handle_grasp(parts: list[Part]) -> Grasp:
    """Across the upright handle that stands out furthest."""
    middle = max(parts, key=lambda part: float(np.prod(part.half))).centre[:2]
    away = [float(np.linalg.norm(part.centre[:2] - middle)) for part in parts]
    handle = [part for part, far in zip(parts, away, strict=True) if far > 0.85 * max(away)]
    corners = corners_of(handle)
    low, high = corners.min(0), corners.max(0)
    out = (low + high)[:2] / 2 - middle
    # Fingers along the circle around the middle; half a turn is the same.
    yaw = (np.arctan2(out[1], out[0]) + np.pi / 2) % np.pi - np.pi / 2
    return Grasp(np.array([*(low + high)[:2] / 2, high[2] - _DEEP]), float(yaw))


def _side_grasps(parts: list[Part]) -> list[Grasp]:
    """Across the middle, the narrowest first."""
    corners = corners_of(parts)
    low, high = corners.min(0), corners.max(0)
    centre = (low + high) / 2
    point = np.array([*centre[:2], max(centre[2], high[2] - _DEEP)])
    cost = lambda yaw: width_along(corners, yaw) + _TURN_COST * abs(yaw)
    return [Grasp(point, float(yaw)) for yaw in sorted(_YAWS, key=cost)]


def _rim_grasps(name: str, parts: list[Part], rng: np.random.Generator) -> list[Grasp]:
    """Around the rim, fingers across it; first those of a hand that is hardly turned."""
    corners = corners_of(parts)
    low, high = corners.min(0), corners.max(0)
    radius = min(high[:2] - low[:2]) / 2
    if "mug" in name:
        radius = min(radius, 0.035)  # the handle is part of the box
    elif "akita" in name:
        radius = 0.047
    elif "plate" in name:
        radius -= 0.01
    centre = (low + high) / 2
    side = 1.0 if rng.random() < 0.5 else -1.0
    grasps = []
    turn = lambda angle: -abs(np.sin(angle)) - 0.01 * side * np.sin(angle)
    for angle in sorted(_RIM_ANGLES, key=turn):
        offset = radius * np.array([np.cos(angle), np.sin(angle)])
        yaw = angle % np.pi - np.pi / 2  # the fingers along the radius; half a turn is the same
        grasps.append(Grasp(np.array([*(centre[:2] + offset), high[2] - _RIM_DEEP]), float(yaw)))
    return grasps
