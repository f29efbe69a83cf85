"""Which action leads from one stored picture to the next.

LIBERO's script stores, in one row, the simulator's state *before* the action and the observation
*after* it. So the published transitions are (obs[j-1], action[j], obs[j]). Files that were
recorded or replayed by other scripts (OpenVLA's, for one) have (obs[j], action[j], obs[j+1]) in
the same layout. An attribute tells them apart where the recorder wrote one; the simulator's states
do where they are stored.
"""

from __future__ import annotations

import numpy as np

CHOICES = ("auto", "yes", "no")
_MARGIN = 3.0  # measured: 25 on four simulated demos, both ways


def observation_follows(states: np.ndarray, joints: np.ndarray) -> bool | None:
    """Whether observations are taken after the action of their row, judged from the data.

    states float (T, S): flattened MuJoCo states before the action: time, then positions, of which
    the first seven are the arm's joints. joints float (T, 7): the same joints as observed. Returns
    None if the arm hardly moves or the two do not match either way.
    """
    if len(states) < 3 or len(states) != len(joints) or states.shape[1] < 8:
        return None
    arm = states[:, 1:8]
    same_row = float(np.median(np.abs(joints - arm).max(1)))
    next_row = float(np.median(np.abs(joints[:-1] - arm[1:]).max(1)))
    if max(same_row, next_row) < _MARGIN * min(same_row, next_row) or same_row == next_row:
        return None
    return next_row < same_row


def decide(option: str, attribute: str | None, measured: bool | None) -> tuple[bool, str]:
    """(observations are taken after the action of their row, what decided it).

    option: one of CHOICES. attribute: `data.attrs["obs_when"]`, 'before' or 'after'. measured: as
    observation_follows says. Order: the option, the attribute, the data, LIBERO's own convention.
    """
    if option != "auto":
        return option == "yes", "option"
    if attribute in ("before", "after"):
        return attribute == "after", "attribute obs_when"
    if measured is not None:
        return measured, "simulator states"
    return True, "published convention"


def verdict(used: bool, measured: bool | None) -> str:
    """'agrees', 'contradicts' or 'unclear': the data against the convention that was used."""
    if measured is None:
        return "unclear"
    return "agrees" if measured == used else "contradicts"


def steps(rows: np.ndarray, follows: bool) -> np.ndarray:
    """Values per row (T, ...) to values per step between two stored frames (T-1, ...)."""
    return rows[1:] if follows else rows[:-1]
