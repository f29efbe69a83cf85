"""Returns of episodes as numbers with intervals, of one run or of several.

A run is one policy: one training seed, one draw of labels. Runs that are compared play the same
episodes, so runs and episodes are resampled together; the mean over tasks resamples the episodes of
each task by themselves, and the same runs for all.

Dimension keys: R runs, E episodes, S bootstrap resamples (the first row is what was measured).
"""

import zlib
from collections.abc import Mapping

import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.intervals import percentiles, resample_weights
from flexlam_jax.reports.results import Number


def combine(
    values: Mapping[str, np.ndarray],
    *,
    unit: str,
    seed: int = 0,
    group_R: np.ndarray | None = None,
) -> tuple[dict[str, Number], Number]:
    """Means with 95 % intervals over episodes, and over runs where there are several.

    Args:
      values: task -> (E,) or (R, E) returns or normalised returns, NaN where an episode was lost;
        all tasks have the same runs in the same order.
      group_R: what runs share, as a training seed: groups are resampled, and in each its runs.

    Returns:
      The number of every task, and that of the mean over tasks.

    Raises:
      UserError: a run of which all episodes of a task are lost.
      ValueError: no task, or other numbers of runs.
    """
    tables = {task: np.atleast_2d(np.asarray(one, np.float64)) for task, one in values.items()}
    runs = {len(table) for table in tables.values()}
    if len(runs) != 1:
        raise ValueError(f"combine: tasks have {sorted(runs)} runs; all need the same ones")
    (count,) = runs
    for task, table in tables.items():
        if np.isnan(table).all(-1).any():
            raise UserError(f"all episodes of {task} were lost in a run; nothing can be said of it")
    run_weights_SR = _weights(count, seed)
    if group_R is not None:
        run_weights_SR = _weights_in_groups(np.asarray(group_R), seed)
    samples = {task: _means(t, run_weights_SR, seed, task) for task, t in tables.items()}
    played = {task: int((~np.isnan(table)).any(0).sum()) for task, table in tables.items()}
    numbers = {
        task: _number(one, count, played[task], "episodes", unit) for task, one in samples.items()
    }
    mean, over = np.mean(list(samples.values()), axis=0), f"episodes of {len(tables)} tasks"
    return numbers, _number(mean, count, sum(played.values()), over, unit)


def _weights(count: int, seed: int) -> np.ndarray:
    """(S, count): ones, then how often each item occurs in each resample."""
    return np.concatenate([np.ones((1, count)), resample_weights(count, seed)])


def _weights_in_groups(group_R: np.ndarray, seed: int) -> np.ndarray:
    """(S, R): of a run, how often its group occurs in a resample times how often it does in that."""
    groups, index_R = np.unique(group_R, return_inverse=True)
    weights_SR = _weights(len(groups), seed + 1)[:, index_R]
    for group in range(len(groups)):
        members = np.flatnonzero(index_R == group)
        weights_SR[:, members] *= _weights(len(members), seed + 2 + group)
    return weights_SR


def _means(values_RE: np.ndarray, run_weights_SR: np.ndarray, seed: int, task: str) -> np.ndarray:
    """(S,): the mean of what was not lost under all weights."""
    episode_weights_SE = _weights(values_RE.shape[1], zlib.crc32(task.encode()) ^ seed)
    there_RE = ~np.isnan(values_RE)
    sums, counts = (
        np.einsum("sr,se,re->s", run_weights_SR, episode_weights_SE, table, optimize=True)
        for table in (np.where(there_RE, values_RE, 0.0), there_RE.astype(np.float64))
    )
    # A resample may hold lost episodes alone: it says nothing, and is left out of the percentiles.
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _number(samples_S: np.ndarray, runs: int, episodes: int, over: str, unit: str) -> Number:
    low, high = percentiles(samples_S[1:][~np.isnan(samples_S[1:])])
    if runs == 1:
        return Number(float(samples_S[0]), low, high, episodes, unit, over)
    return Number(float(samples_S[0]), low, high, runs, unit, f"runs ({episodes} {over})")
