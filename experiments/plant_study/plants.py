"""Transitions of simulated plants, in memory, with what the operator and the world did.

Dimension keys: N transitions, H instants of history, S observed columns.
"""

import dataclasses

import numpy as np

from data_pipelines.simulators.plant import tanks

TRUTH = (*tanks.PUMPS, *tanks.DISTURBANCES)
PUMPS, DISTURBANCES = slice(0, 2), slice(2, 4)  # of TRUTH


@dataclasses.dataclass(frozen=True)
class Plants:
    """Transitions of some shifts.

    Attributes:
      clips: float32 (N, H + 1, 5), levels and disturbances up to t, and those at t + 1; before a
        shift began its first instant stands. Deviations of changes are 1, means 0.
      truth: float32 (N, 4), TRUTH of the period from t to t + 1; see `as_observed`.
      scales: (5,), deviations of the columns' levels in units of their changes.
    """

    clips: np.ndarray
    truth: np.ndarray
    scales: np.ndarray

    def as_observed(self) -> "Plants":
        """The same for who measures disturbances: what is not known of them at t is their change to
        t + 1, which stands in their place in `truth`."""
        change = (self.clips[:, -1] - self.clips[:, -2])[:, -2:]
        return dataclasses.replace(self, truth=np.concatenate([self.truth[:, PUMPS], change], 1))


def plants(
    strength: float, seed: int, shifts: int, length: int, history: int
) -> tuple[Plants, Plants]:
    """(training, test): `shifts` shifts of `length` instants, and half as many of the same plant.

    Args:
      strength: factor of the deviations of the disturbances.
    """
    settings = tanks.Settings(switched=False, disturbance=strength)
    count = shifts + max(1, shifts // 2)
    played = [
        tanks.simulate(np.random.default_rng([seed, number]), length, settings)
        for number in range(count)
    ]
    rows = [np.concatenate([one.levels, one.disturbances], 1) for one in played]
    known = np.concatenate(rows[:shifts])
    mean = known.mean(0)
    change = np.concatenate([np.diff(one, axis=0) for one in rows[:shifts]]).std(0)
    scales = known.std(0) / change
    parts = []
    for chosen in (slice(0, shifts), slice(shifts, count)):
        clips = [_clips((one - mean) / change, history) for one in rows[chosen]]
        truth = [np.concatenate([one.powers, one.disturbances], 1)[:-1] for one in played[chosen]]
        parts.append(
            Plants(
                np.concatenate(clips).astype(np.float32),
                np.concatenate(truth).astype(np.float32),
                scales,
            )
        )
    return parts[0], parts[1]


def _clips(rows: np.ndarray, history: int) -> np.ndarray:
    """(T, S) -> (T - 1, H + 1, S)."""
    instants = np.arange(len(rows) - 1)[:, None] + np.arange(1 - history, 2)
    return rows[np.maximum(instants, 0)]
