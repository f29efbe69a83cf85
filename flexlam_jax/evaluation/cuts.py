"""Cuts that nothing was learned for, which boundaries of a model are compared with.

Each function cuts every row into a given number of chunks: of equal length, at random places, or
where the latent actions change most. The first valid step of a row always begins a chunk. NumPy, on
the host.

Dimension keys: B rows, T steps, F numbers of a latent action. Steps that are not `valid`, bool
(B, T), are padding; `counts` int (B,) are chunks of each row, at least one, and at most one per
valid step.
"""

import jax
import numpy as np


def chunk_counts(cut: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Chunks of each row, int64 (B,), of cuts bool (B, T): what begins at its first step counts."""
    return np.sum(np.asarray(cut) & valid & ~first_steps(valid), axis=1) + 1


def first_steps(valid: np.ndarray) -> np.ndarray:
    """The first valid step of each row, bool (B, T)."""
    return np.asarray(valid) & (np.cumsum(valid, axis=1) == 1)


def equal_cuts(valid: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Chunks of lengths that differ by one step at most, bool (B, T).

    Raises:
      ValueError: counts that the rows do not have the steps for.
    """
    steps = _steps(valid, counts)
    # Step i of n begins chunk c of C where i is the rounded c n / C.
    number = np.maximum(np.cumsum(valid, axis=1) - 1, 0)
    chunk = _chunk_of(number, steps, counts)
    before = np.where(number > 0, _chunk_of(number - 1, steps, counts), -1)
    return np.asarray(valid) & (chunk > before)


def random_cuts(key: jax.Array, valid: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Chunks that begin at steps drawn without replacement, bool (B, T).

    Raises:
      ValueError: counts that the rows do not have the steps for.
    """
    _steps(valid, counts)
    return _greatest(np.asarray(jax.random.uniform(key, np.shape(valid))), valid, counts)


def jump_cuts(
    latents: np.ndarray, valid: np.ndarray, counts: np.ndarray, gap: int = 3
) -> np.ndarray:
    """Chunks that begin where the latent actions change most, bool (B, T).

    Args:
      latents: float (B, T, F), whose changes |z_t - z_(t-1)| are taken; see `highest_cuts`.

    Raises:
      ValueError: counts that the rows do not have the steps for.
    """
    latents = np.asarray(latents, np.float32)
    jump = np.linalg.norm(np.diff(latents, axis=1, prepend=latents[:, :1]), axis=-1)
    return highest_cuts(jump, valid, counts, gap)


def highest_cuts(
    score: np.ndarray, valid: np.ndarray, counts: np.ndarray, gap: int = 3
) -> np.ndarray:
    """Chunks that begin at the steps of the highest scores, bool (B, T).

    They are taken in order of their scores, each unless it is less than `gap` steps from one that
    was taken. A row with too little room for its chunks gets a smaller gap.

    Args:
      score: float (B, T); steps of -inf are never taken, so that there may be fewer chunks.

    Raises:
      ValueError: counts that the rows do not have the steps for.
    """
    _steps(valid, counts)
    cut, possible = first_steps(valid), np.asarray(valid) & (score > -np.inf)
    for row in range(len(cut)):
        order = np.argsort(-score[row], kind="stable")
        order = order[possible[row, order]]
        for apart in range(gap, 0, -1):
            _take(cut[row], order, int(counts[row]), apart)
    return cut


def _take(cut: np.ndarray, order: np.ndarray, count: int, apart: int) -> None:
    """Marks steps of one row (T,) in this order until there are `count`."""
    for step in order:
        if cut.sum() >= count:
            return
        if not cut[max(0, step - apart + 1) : step + apart].any():
            cut[step] = True


def _greatest(score: np.ndarray, valid: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The first valid step and those of the greatest scores (B, T), bool (B, T)."""
    score = np.where(first_steps(valid), np.inf, np.where(valid, score, -np.inf))
    rank = np.argsort(np.argsort(-score, axis=1, kind="stable"), axis=1, kind="stable")
    return rank < np.asarray(counts)[:, None]


def _chunk_of(number: np.ndarray, steps: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Which of the equal chunks of a row its step of each number (B, T) is in."""
    counts, steps = np.asarray(counts)[:, None], steps[:, None]
    return (2 * counts * number + counts) // np.maximum(2 * steps, 1)


def _steps(valid: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Valid steps of each row (B,), once they were found enough."""
    valid, counts = np.asarray(valid), np.asarray(counts)
    steps = valid.sum(axis=1)
    wrong = np.flatnonzero((counts < 1) | (counts > steps)) if counts.shape == steps.shape else []
    if counts.shape != steps.shape or len(wrong):
        where = f"; row {wrong[0]} has {steps[wrong[0]]} steps" if len(wrong) else ""
        raise ValueError(
            f"counts of chunks {counts.tolist()} for {len(steps)} rows{where}: give each row from "
            "one chunk to as many as it has valid steps"
        )
    return steps
