"""What Meta-World's actions and observations are called, recorded or played."""

from __future__ import annotations

from data_pipelines.format.spec import ActionSpec

ACTION = ActionSpec(kind="continuous", names=("x", "y", "z", "gripper"), low=-1.0, high=1.0)
PROPRIO = ("hand_x", "hand_y", "hand_z", "gripper_opening")
_OBJECTS = tuple(
    f"object{i}_{name}" for i in (1, 2) for name in ("x", "y", "z", "qx", "qy", "qz", "qw")
)
# the environment's observation: now, one step ago, goal
ENVIRONMENT = (
    *PROPRIO,
    *_OBJECTS,
    *(f"previous_{name}" for name in PROPRIO + _OBJECTS),
    *("goal_x", "goal_y", "goal_z"),
)


def instruction(task: str) -> str:
    """'door-open-v3' -> 'door open'."""
    return task.rsplit("-v", 1)[0].replace("-", " ").replace("_", " ")
