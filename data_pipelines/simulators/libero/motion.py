"""From where the gripper should be to LIBERO's actions, step by step.

An action is (x, y, z, roll, pitch, yaw, gripper) in [-1, 1]: a displacement of at most STRIDE
metres, a rotation vector of at most TURN radians in the world's frame, and -1 to open the gripper,
+1 to close it, 0 to leave it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

STRIDE, TURN = 0.05, 0.5  # of a full action
OPEN, KEEP, CLOSE = -1.0, 0.0, 1.0
DOWN = np.diag([1.0, -1.0, -1.0])  # the hand points down, its fingers move along the world's y
IDLE = np.array([0.0] * 6 + [OPEN])
_GAIN, _TURN_GAIN, _SPEED = 1.6, 0.8, 0.9  # the arm lags behind what it is told
_ALIGNED = 0.1  # radians


@dataclasses.dataclass(frozen=True)
class Waypoint:
    """Where the gripper goes next.

    phase: what this part of a motion is called. position: metres, (3,). rotation: of the hand,
    (3, 3), whose columns are its x, the axis of its fingers and where it points. tolerance: metres;
    inf: the time alone decides. most, least: steps. carries: an object that must be in the hand.
    """

    phase: str
    position: np.ndarray
    rotation: np.ndarray
    gripper: float
    tolerance: float
    most: int
    least: int = 0
    carries: str = ""


def hand(points: np.ndarray, fingers: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) of a hand that points along `points` with its fingers along `fingers`.

    Both are (3,), perpendicular, of any length; of the two such hands, the one nearer to DOWN.
    """
    points, fingers = points / np.linalg.norm(points), fingers / np.linalg.norm(fingers)
    hands = [
        np.stack([np.cross(axis, points), axis, points], axis=1) for axis in (fingers, -fingers)
    ]
    return max(hands, key=lambda rotation: np.trace(rotation @ DOWN.T))


def turned(yaw: float) -> np.ndarray:
    """A hand that points down, its fingers turned by `yaw` radians about the vertical."""
    return rotation_about(np.array([0.0, 0.0, 1.0]), yaw) @ DOWN


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """(3, 3) of a rotation by `angle` radians about the unit vector `axis` (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) as an axis times an angle in [0, pi]."""
    w = np.sqrt(max(0.0, 1 + np.trace(rotation))) / 2
    if w < 1e-3:  # half a turn: the axis is what stays
        values, vectors = np.linalg.eigh((rotation + rotation.T) / 2)
        return np.pi * vectors[:, np.argmax(values)]
    skew = rotation - rotation.T
    xyz = np.array([skew[2, 1], skew[0, 2], skew[1, 0]]) / (4 * w)
    length = np.linalg.norm(xyz)
    return 2 * xyz if length < 1e-9 else xyz / length * 2 * np.arctan2(length, w)


def matrix_of(quaternion: np.ndarray) -> np.ndarray:
    """(3, 3) of a unit quaternion (x, y, z, w)."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def action_toward(waypoint: Waypoint, position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """The action float (7,) that moves a hand at `position` and `rotation` to the waypoint."""
    move = (waypoint.position - position) / STRIDE * _GAIN
    speed = np.linalg.norm(move)
    if speed > _SPEED:
        move *= _SPEED / speed
    turn = rotation_vector(waypoint.rotation @ rotation.T) / TURN * _TURN_GAIN
    return np.clip(np.concatenate([move, turn, [waypoint.gripper]]), -1, 1)


class Follower:
    """Follows waypoints, which may be planned while it is under way."""

    def __init__(self, waypoints: Iterator[Waypoint]):
        self._waypoints = waypoints
        self._steps = 0
        self.waypoint: Waypoint | None = next(waypoints, None)

    def advance(self, position: np.ndarray, rotation: np.ndarray) -> Waypoint | None:
        """The waypoint of this step; None after the last one."""
        while self.waypoint is not None and self._done(position, rotation):
            self.waypoint, self._steps = next(self._waypoints, None), 0
        self._steps += 1
        return self.waypoint

    def _done(self, position: np.ndarray, rotation: np.ndarray) -> bool:
        goal = self.waypoint
        if self._steps < goal.least:
            return False
        near = np.linalg.norm(goal.position - position) < goal.tolerance
        aligned = (
            np.linalg.norm(rotation_vector(goal.rotation @ rotation.T)) < _ALIGNED
            or goal.tolerance == np.inf
        )
        return self._steps >= goal.most or bool(near and aligned)
