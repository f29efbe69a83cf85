"""Fréchet distance of generated clips to real ones, in a feature space, with its floor.

Between Gaussians of the features: |m - m'|² + tr(S + S' - 2 (S S')^½), as FID (Heusel et al. 2017) and
FVD (Unterthiner et al. 2018). Estimated from N clips it is biased upwards by about a constant over N
(Chong and Forsyth 2020): two samples of the same clips are not at 0. So it is always measured between
clips of disjoint halves of the episodes, generated of one and real of the other, and beside it stands
what real clips of the one score against real clips of the other: the same N, the same bias.

Dimension keys: N clips, F features.
"""

from collections.abc import Callable

import numpy as np
from scipy import special

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation import intervals
from flexlam_jax.reports.results import Number

GROUPS = 10  # of episodes, each left out once


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Of features (N, F) and (N', F), at least two clips each."""
    mean, cov = one.mean(0), np.cov(one, rowvar=False)
    other_mean, other_cov = other.mean(0), np.cov(other, rowvar=False)
    root = _root(cov)
    # The trace of (S S')^½ is that of the symmetric (S^½ S' S^½)^½.
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_cov @ root), 0)).sum()
    far = np.square(mean - other_mean).sum()
    return float(max(0.0, far + np.trace(cov) + np.trace(other_cov) - 2 * shared))


def distances(real: np.ndarray, generated: np.ndarray, episode: np.ndarray) -> dict[str, Number]:
    """{"frechet", "floor", "excess"} of the same N clips, real and generated.

    Both ways round, generated of one half against real of the other, and the mean. Intervals by the
    jackknife over GROUPS groups of episodes with Student's t: a bootstrap would draw clips twice and
    so move the distance itself.

    Args:
      real, generated: features (N, F).      episode: (N,).

    Raises:
      UserError: too few episodes or clips, see `why_not`.
    """
    if why := why_not(episode):
        raise UserError(f"{why}; take a split with more episodes, or more clips")
    half, group, groups = _parts(episode)

    def both_ways(clips: np.ndarray, rows: np.ndarray) -> float:
        first, second = rows & half, rows & ~half
        return (frechet(clips[first], real[second]) + frechet(clips[second], real[first])) / 2

    def numbers(of: Callable[[np.ndarray], float]) -> Number:
        kept = [group != one for one in range(groups)]
        return _jackknife(of(np.ones(len(real), bool)), [of(rows) for rows in kept], groups)

    return {
        "frechet": numbers(lambda rows: both_ways(generated, rows)),
        "floor": numbers(lambda rows: both_ways(real, rows)),
        "excess": numbers(lambda rows: both_ways(generated, rows) - both_ways(real, rows)),
    }


def why_not(episode: np.ndarray) -> str:
    """Why clips of these episodes (N,) have no Fréchet distance, "" if they have one."""
    half, group, groups = _parts(episode)
    if groups < 2:
        return "the clips are of fewer than four episodes"
    sides = [(half == side) & (group != one) for side in (True, False) for one in range(groups)]
    if min(side.sum() for side in sides) < 2:  # A covariance takes two.
        return "the clips are so few that a half without a group of episodes has fewer than two"
    return ""


def caption(space: str, clips: int, features: int) -> str:
    """What a table of these numbers says below it."""
    return (
        f"Fréchet distance in the feature space {space} ({features} features of a clip), of {clips} "
        "clips in two halves by episode. It is biased upwards by about 1/N: read it against the floor, "
        "what as many real clips score, and compare it only at the same clips and N. It is not FVD."
    )


def _parts(episode: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """(whether a clip is of the first half, its group, the number of groups); a group has episodes
    of both halves."""
    names, index = np.unique(episode, return_inverse=True)
    index, groups = index.reshape(-1), min(GROUPS, len(names) // 2)
    return index % 2 == 0, index // 2 % max(1, groups), groups


def _root(cov: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(cov)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _jackknife(value: float, without: list[float], groups: int) -> Number:
    spread = np.sqrt((groups - 1) / groups * np.square(without - np.mean(without)).sum())
    half = float(special.stdtrit(groups - 1, 0.5 + intervals.LEVEL / 2) * spread)
    return Number(
        value, value - half, value + half, groups, "squared features", "groups of episodes"
    )
