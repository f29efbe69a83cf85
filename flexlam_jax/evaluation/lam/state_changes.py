"""What is new in a state after a step, column by column.

Dimension keys: N M transitions, S columns of the state.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

TAILS = 2.5  # percent on each side, beyond which a change counts as one of this size
RATE = 0.8  # correlation with the change of another column from which on a column is its rate
LEAST = 1e-6  # standard deviation of what changes


class Changes(NamedTuple):
    """Attributes:
    train, test: column -> float32 (N,), (M,).
    left_out: column -> why it is left out.
    """

    train: Mapping[str, np.ndarray]
    test: Mapping[str, np.ndarray]
    left_out: Mapping[str, str]


def changes(train_N2S: np.ndarray, test_M2S: np.ndarray, names: Sequence[str]) -> Changes:
    """s_{t+1} - s_t of every column, of states at both frames; decided on the train split.

    - Cut at the TAILS of the train split, so that jumps (around an edge, to a new start) do not
      decide what a mean of squares says of all other steps. A column that hardly ever changes is
      not cut.
    - A column that changes by more than it varies (a flicker, drawn anew in each frame) counts by
      its value at t + 1, which is as new as its change.
    - A column that is the rate of another one (a velocity beside its position) is left out: the
      change of the other one tells it, and its own is half made of what came before both frames.
    - A column that never changes is left out.
    """
    new, left_out = {}, {}
    for number, name in enumerate(names):
        one = _new(train_N2S[..., number], test_M2S[..., number])
        if one[0].std() < LEAST:
            left_out[name] = "never changes"
        else:
            new[name] = one
    levels = {name: train_N2S[:, 1, number] for number, name in enumerate(names)}
    for name in list(new):
        of = next((other for other in new if _is_rate(levels[name], new, name, other)), None)
        if of:
            left_out[name] = f"is the rate of {of}"
            del new[name]
    train, test = ({name: one[i].astype(np.float32) for name, one in new.items()} for i in (0, 1))
    return Changes(train, test, left_out)


def _new(train_N2: np.ndarray, test_M2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = [one[:, 1] - one[:, 0] for one in (train_N2, test_M2)]
    if both[0].var() > train_N2[:, 1].var():
        return train_N2[:, 1], test_M2[:, 1]
    low, high = np.percentile(both[0], [TAILS, 100 - TAILS])
    if high - low < LEAST:
        return both[0], both[1]
    return np.clip(both[0], low, high), np.clip(both[1], low, high)


def _is_rate(level_N: np.ndarray, new: Mapping, name: str, other: str) -> bool:
    if other == name or level_N.std() < LEAST:
        return False
    return abs(np.corrcoef(level_N, new[other][0])[0, 1]) >= RATE
