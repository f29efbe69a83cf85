"""Bootstrap intervals around the `Number`s of a report.

Transitions of one episode are not independent, so episodes are resampled, never transitions.
Numbers that also depend on which labels were drawn (probes) resample label draws and episodes
jointly. One checkpoint is one sample of its training seed: what covers that is `over_seeds`.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import special  # scipy.stats takes a second to import

from flexlam_jax.reports.results import Number

LEVEL = 0.95
RESAMPLES = 1000


def resample_weights(count: int, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """(resamples, count) float64: how often each item occurs in each bootstrap resample."""
    rng = np.random.default_rng([seed, count])
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def percentiles(samples: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Central `level` range of bootstrap samples."""
    tail = 50 * (1 - level)
    low, high = np.percentile(samples, [tail, 100 - tail])
    return float(low), float(high)


def over_seeds(values: Sequence[float], unit: str) -> Number:
    """Mean of one value per training seed, with Student's t interval.

    Seeds are few, and a bootstrap of three values is too narrow. Of one seed nothing is known: the
    interval is the value alone, and n says why.
    """
    mean, n = float(np.mean(values)), len(values)
    half = 0.0
    if n > 1:
        half = float(
            special.stdtrit(n - 1, 0.5 + LEVEL / 2) * np.std(values, ddof=1) / math.sqrt(n)
        )
    return Number(mean, mean - half, mean + half, n, unit, "training seeds")


def over_trials(rates: Sequence[float], counts: Sequence[int], *, unit: str, over: str) -> Number:
    """Mean of the shares of successes of groups of trials, as tasks, with the Wilson score interval.

    Of several groups as if it were one share of N = G² / Σ 1/n_g trials, which is never too narrow
    for the mean of G groups of one size: Σ p_g (1 - p_g) <= G p (1 - p). Unlike resamples, it has a
    width where no trial, or every one, succeeded.

    Args:
      rates: share of each group.   counts: its number of trials, above 0.   over: what trials are.
    """
    mean = float(np.mean(rates))
    trials = len(counts) ** 2 / sum(1 / count for count in counts)
    z = float(special.ndtri(0.5 + LEVEL / 2))
    middle = (mean + z * z / (2 * trials)) / (1 + z * z / trials)
    spread = math.sqrt(mean * (1 - mean) / trials + (z / (2 * trials)) ** 2)
    half = z / (1 + z * z / trials) * spread
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Number(mean, min(low, mean), max(high, mean), sum(counts), unit, over)


def sums_by_episode(
    values: Mapping[str, np.ndarray], episode_N: np.ndarray
) -> dict[str, np.ndarray]:
    """Adds up values (N, ...) within episodes -> (E, ...); "count" is always there."""
    _, index = np.unique(np.asarray(episode_N), return_inverse=True)
    count = int(index.max()) + 1
    totals = {"count": np.bincount(index, minlength=count).astype(np.float64)}
    for name, value in values.items():
        value = np.asarray(value, np.float64)
        totals[name] = np.zeros((count, *value.shape[1:]))
        np.add.at(totals[name], index, value)
    return totals


def over_episodes(
    values: Mapping[str, np.ndarray],
    episode_N: np.ndarray,
    statistic: Callable,
    *,
    unit: str,
    seed: int = 0,
) -> Number:
    """Interval of a statistic of per-transition values by resampling episodes.

    Args:
      values: name -> (N, ...) per-transition values.
      episode_N: (N,) episode of each transition.
      statistic: maps {name: weighted sums (R, ...), "count": (R,)} to (R,); it sees sums over all
        transitions of the (re)sampled episodes, so ratios and PSNRs are taken after the sum.
      unit: unit of the result.

    Returns:
      The number, with n = episodes.
    """
    totals = sums_by_episode(values, episode_N)
    episodes = len(totals["count"])
    weights = np.concatenate([np.ones((1, episodes)), resample_weights(episodes, seed)])
    sums = {name: np.tensordot(weights, total, axes=1) for name, total in totals.items()}
    result = np.asarray(statistic(sums))
    low, high = percentiles(result[1:]) if episodes > 1 else (result[0], result[0])
    return Number(float(result[0]), float(low), float(high), episodes, unit, "episodes")


def over_draws_and_episodes(
    values: Mapping[str, np.ndarray],
    episode_N: np.ndarray,
    statistic: Callable,
    *,
    unit: str,
    seed: int = 0,
) -> Number:
    """As `over_episodes`, for values (L, N, ...) that also differ between L label draws.

    Draws and episodes are resampled together, so the interval covers both which transitions were
    labelled and which episodes were tested. n = label draws.
    """
    return _of_draws(_over_draws(values, episode_N, statistic, seed, seed), values, episode_N, unit)


def over_groups(
    values: Mapping[str, np.ndarray],
    episode_N: np.ndarray,
    group_N: np.ndarray,
    statistic: Callable,
    *,
    unit: str,
    seed: int = 0,
) -> tuple[list[Number], Number]:
    """As `over_draws_and_episodes`, of each group (dataset) of episodes, and the mean of groups.

    In the mean every group counts the same, and its episodes are resampled among themselves, so
    that none ever loses all of them; which label draws count is the same for all groups.

    Args:
      group_N: group of each transition, whose episodes are its own.

    Returns:
      (a number per group, in ascending order; their mean).
    """
    numbers, results = [], []
    for group in np.unique(group_N):
        rows = np.asarray(group_N) == group
        own = {name: np.asarray(value)[:, rows] for name, value in values.items()}
        episodes = np.asarray(episode_N)[rows]
        results.append(_over_draws(own, episodes, statistic, seed + 1009 * (int(group) + 1), seed))
        numbers.append(_of_draws(results[-1], own, episodes, unit))
    return numbers, _of_draws(np.mean(results, 0), values, episode_N, unit)


def _over_draws(
    values: Mapping[str, np.ndarray],
    episode_N: np.ndarray,
    statistic: Callable,
    episode_seed: int,
    draw_seed: int,
) -> np.ndarray:
    """(1 + RESAMPLES,): the statistic of all, then of every resample of draws and episodes."""
    draws = len(next(iter(values.values())))
    if any(len(value) != draws for value in values.values()):
        raise ValueError("over_draws_and_episodes: all values need the same number of label draws")
    per_transition = {name: np.moveaxis(np.asarray(value), 0, 1) for name, value in values.items()}
    totals = sums_by_episode(per_transition, episode_N)
    episodes = len(totals["count"])
    weights = resample_weights(episodes, episode_seed)
    episode_weights = np.concatenate([np.ones((1, episodes)), weights])
    weights = resample_weights(draws, draw_seed + 1)
    draw_weights = np.concatenate([np.ones((1, draws)), weights]) / draws
    sums = {"count": episode_weights @ totals["count"]}
    for name in values:
        by_draw = np.tensordot(episode_weights, totals[name], axes=1)  # (R, L, ...)
        sums[name] = np.einsum("rl,rl...->r...", draw_weights, by_draw)
    return np.asarray(statistic(sums))


def _of_draws(
    result: np.ndarray, values: Mapping[str, np.ndarray], episode_N: np.ndarray, unit: str
) -> Number:
    """The number whose resamples `result` holds, after itself."""
    low, high = percentiles(result[1:])
    over = f"label draws ({len(np.unique(episode_N))} test episodes)"
    draws = len(next(iter(values.values())))
    return Number(float(result[0]), low, high, draws, unit, over)
