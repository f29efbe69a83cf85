"""What the three layouts of LIBERO have in common."""

from __future__ import annotations

import numpy as np

from data_pipelines.format.spec import ActionSpec
from data_pipelines.readers.recordings import ItemError

CAMERAS = ("agentview", "eye_in_hand")
ACTION = ActionSpec(
    kind="continuous", names=("x", "y", "z", "roll", "pitch", "yaw", "gripper"), low=-1.0, high=1.0
)
FPS = 20.0
EE_POSE = ("ee_x", "ee_y", "ee_z", "ee_rx", "ee_ry", "ee_rz")  # metres and axis-angle
GRIPPER = ("gripper_left", "gripper_right")
JOINTS = tuple(f"joint_{i}" for i in range(7))


def check_actions(actions: np.ndarray, where: str) -> None:
    """Raises ItemError unless all of (T, 7) are finite and in [-1, 1]."""
    if actions.ndim != 2 or actions.shape[1] != ACTION.count:
        raise ItemError("wrong shape", f"{where}: actions {actions.shape}, expected (T, 7)")
    bad = ~(np.abs(actions) <= 1)  # also catches NaN
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ItemError(
            "action out of range",
            f"{where}: action {row}, dimension {column} is {actions[row, column]}; LIBERO's are in "
            f"[-1, 1]",
        )
