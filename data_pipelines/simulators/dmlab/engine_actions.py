"""What the engine does for every action of the tables in `readers.dmlab.actions`.

Seven whole numbers, in the engine's order: look left or right and look down or up (pixels of mouse
motion per frame, positive to the right and down), strafe left or right, move back or forward (-1,
0, 1), fire, jump, crouch (0, 1).

Sources: IMPALA's code (google-deepmind/scalable_agent, environments.py) for nine actions, DreamerV3's
wrapper (danijar/dreamerv3, embodied/envs/dmlab.py) for fifteen.
"""

from __future__ import annotations

import numpy as np

from data_pipelines.readers.dmlab.actions import TABLES

ENGINE_ACTIONS = {
    "forward": (0, 0, 0, 1, 0, 0, 0),
    "backward": (0, 0, 0, -1, 0, 0, 0),
    "strafe_left": (0, 0, -1, 0, 0, 0, 0),
    "strafe_right": (0, 0, 1, 0, 0, 0, 0),
    "look_left_10": (-10, 0, 0, 0, 0, 0, 0),
    "look_right_10": (10, 0, 0, 0, 0, 0, 0),
    "look_left_20": (-20, 0, 0, 0, 0, 0, 0),
    "look_right_20": (20, 0, 0, 0, 0, 0, 0),
    "look_left_60": (-60, 0, 0, 0, 0, 0, 0),
    "look_right_60": (60, 0, 0, 0, 0, 0, 0),
    "look_down_10": (0, 10, 0, 0, 0, 0, 0),
    "look_up_10": (0, -10, 0, 0, 0, 0, 0),
    "forward_look_left_10": (-10, 0, 0, 1, 0, 0, 0),
    "forward_look_right_10": (10, 0, 0, 1, 0, 0, 0),
    "forward_look_left_20": (-20, 0, 0, 1, 0, 0, 0),
    "forward_look_right_20": (20, 0, 0, 1, 0, 0, 0),
    "forward_look_left_60": (-60, 0, 0, 1, 0, 0, 0),
    "forward_look_right_60": (60, 0, 0, 1, 0, 0, 0),
    "fire": (0, 0, 0, 0, 1, 0, 0),
}


def table_vectors(table: str) -> np.ndarray:
    """intc (A, 7), the only type that the engine takes: a row per action of the table."""
    return np.array([ENGINE_ACTIONS[name] for name in TABLES[table]], np.intc)
