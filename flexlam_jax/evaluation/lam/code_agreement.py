"""Whether codes that should be equal are: 1 where they are, 0 where others would do as well.

Dimension keys: N transitions, P Q numbers of a code.
"""

from collections.abc import Callable, Mapping

import numpy as np

from flexlam_jax.evaluation import intervals
from flexlam_jax.reports.results import Number

_NOTHING = 1e-9  # a mean squared distance that no code of use has between transitions
_RIDGE = 1e-2  # of the mean variance of an input


def strangers(episode_N: np.ndarray, seed: int) -> np.ndarray:
    """For each row another one, of another episode unless one episode has more than half of all.

    A permutation int64 (N,) without a fixed point.

    Raises:
      ValueError: fewer than two rows.
    """
    count = len(episode_N)
    if count < 2:
        raise ValueError("comparing with another transition needs at least two")
    rng = np.random.default_rng([seed, 13])
    _, index, sizes = np.unique(episode_N, return_inverse=True, return_counts=True)
    order = np.lexsort((rng.random(count), rng.permutation(len(sizes))[index]))
    partner = np.empty(count, np.int64)
    partner[order] = np.roll(order, -min(int(sizes.max()), count // 2))
    return partner


def agreement(
    wanted_NP: np.ndarray, found_NP: np.ndarray, partner_N: np.ndarray, episode_N: np.ndarray
) -> Number:
    """1 - sum |wanted - found|^2 / sum |wanted of the partner - found|^2.

    1: what is found is what is wanted. 0: it is no nearer to it than to that of an unrelated
    transition, as where all codes are one. Below 0: it is farther.

    Args:
      partner_N: as `strangers`.
    """
    return relative(
        _squared(wanted_NP, found_NP), _squared(wanted_NP[partner_N], found_NP), episode_N
    )


def same_ids(
    wanted_NK: np.ndarray, found_NK: np.ndarray, partner_N: np.ndarray, episode_N: np.ndarray
) -> tuple[Number, Number]:
    """(share of slots whose id is the one wanted; the same against the partner's: chance)."""
    shares = [np.mean(np.asarray(one) == found_NK, -1) for one in (wanted_NK, wanted_NK[partner_N])]
    own, chance = (
        intervals.over_episodes(
            {"x": share}, episode_N, lambda sums: sums["x"] / sums["count"], unit="share"
        )
        for share in shares
    )
    return own, chance


def linear_agreement(
    inputs_NP: np.ndarray, wanted_NQ: np.ndarray, episode_N: np.ndarray
) -> Number | None:
    """R^2 of the best linear map from inputs to what is wanted, on episodes it was not fitted to.

    Ridge regression with an intercept, fitted on every other episode and scored on those between,
    and the other way round. Unlike `agreement`, it does not ask where the code's origin is and along
    which axes it lies. None with one episode, or without inputs.
    """
    _, index = np.unique(episode_N, return_inverse=True)
    if index.max() < 1 or not inputs_NP.shape[1]:
        return None
    residual, total = np.zeros((2, len(index)))
    for fold in (0, 1):
        fits, scored = index % 2 != fold, index % 2 == fold
        mean, predict = _ridge(inputs_NP[fits], wanted_NQ[fits])
        residual[scored] = _squared(wanted_NQ[scored], predict(inputs_NP[scored]))
        total[scored] = _squared(wanted_NQ[scored], mean)
    return relative(residual, total, episode_N)


def relative(error_N: np.ndarray, floor_N: np.ndarray, episode_N: np.ndarray) -> Number:
    """1 - sum of errors / sum of those of the floor; 0 where the floor has none."""

    def statistic(sums: Mapping[str, np.ndarray]) -> np.ndarray:
        some = sums["floor"] > _NOTHING * sums["count"]
        return np.where(some, 1 - sums["error"] / np.where(some, sums["floor"], 1), 0.0)

    values = {"error": error_N, "floor": floor_N}
    return intervals.over_episodes(values, episode_N, statistic, unit="of 1")


def _squared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N, P), (N, P) or (P,) -> (N,)"""
    return np.square(np.asarray(one, np.float64) - other).sum(-1)


def _ridge(inputs: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, Callable]:
    """(mean of what is wanted, the fitted map)."""
    x, y = np.asarray(inputs, np.float64), np.asarray(wanted, np.float64)
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    strength = _RIDGE * max(float(np.square(x).mean()), _NOTHING) * len(x)
    weights = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y)
    return y_mean, lambda new: (new - x_mean) @ weights + y_mean
