"""How well boundaries that were found are those that are true.

Dimension keys: B rows, T steps. Steps that are not `valid`, bool (B, T), are padding. NumPy, on the
host.
"""

from typing import NamedTuple

import numpy as np

from flexlam_jax.evaluation.cuts import first_steps


class Matches(NamedTuple):
    """Boundaries of each row, int64 (B,): matched one to one, found, and true."""

    matched: np.ndarray
    found: np.ndarray
    true: np.ndarray


class BoundaryScore(NamedTuple):
    """Matched boundaries as shares of those found, of those true, and the harmonic mean of both;
    each is 0 where nothing matched."""

    precision: float
    recall: float
    f1: float


def boundary_f1(
    found: np.ndarray, true: np.ndarray, valid: np.ndarray, tolerance: int = 2
) -> BoundaryScore:
    """Precision, recall and F1 of the boundaries of all rows together; see `boundary_matches`."""
    return score(*(counts.sum() for counts in boundary_matches(found, true, valid, tolerance)))


def score(matched: float, found: float, true: float) -> BoundaryScore:
    """The score of counts, as of `Matches`."""
    if not matched:
        return BoundaryScore(0.0, 0.0, 0.0)
    precision, recall = float(matched / found), float(matched / true)
    return BoundaryScore(precision, recall, float(2 * matched / (found + true)))


def boundary_matches(
    found: np.ndarray, true: np.ndarray, valid: np.ndarray, tolerance: int = 2
) -> Matches:
    """Pairs each boundary with one of the other kind at most, as many as can be.

    The first valid step of a row begins a chunk whatever is said, and counts on neither side.

    Args:
      found, true: bool (B, T).
      tolerance: steps that the two of a pair may be apart, on either side.
    """
    counted = np.asarray(valid) & ~first_steps(valid)
    found, true = np.asarray(found) & counted, np.asarray(true) & counted
    pairs = [
        _pairs(np.flatnonzero(a), np.flatnonzero(b), tolerance)
        for a, b in zip(found, true, strict=True)
    ]
    return Matches(np.array(pairs, np.int64), found.sum(axis=1), true.sum(axis=1))


def _pairs(found: np.ndarray, true: np.ndarray, tolerance: int) -> int:
    """Pairs of steps in ascending order; to pair the earliest possible each time is best."""
    pairs = i = j = 0
    while i < len(found) and j < len(true):
        if abs(int(found[i]) - int(true[j])) <= tolerance:
            pairs, i, j = pairs + 1, i + 1, j + 1
        elif found[i] < true[j]:
            i += 1
        else:
            j += 1
    return pairs
