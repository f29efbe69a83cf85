"""What of the true boundaries can be seen without skills; experiments.skill_study.visible measures it.

Dimension keys: E sequences, T steps.
"""

from typing import Any

import numpy as np

from experiments.skill_study.probe import logits
from experiments.skill_study.scores import TOLERANCE, controls
from experiments.skill_study.sequences import Sequences
from flexlam_jax.evaluation.boundary_scores import boundary_f1
from flexlam_jax.evaluation.cuts import chunk_counts, highest_cuts


def visible(train: Sequences, test: Sequences, seed: int) -> list[dict[str, Any]]:
    """A row per level, the finest first.

    Each makes as many chunks of every test sequence as are true: equal, random and jump, as beside
    a model; probe, the likeliest steps by `probe.logits`. Of a later level also the largest changes
    among the true boundaries of the level before: chunk_jump from the first step of one chunk to
    that of the next, step_jump from the step before.
    """
    rows: list[dict[str, Any]] = []
    for level, true in enumerate(test.levels):
        counts = chunk_counts(true, test.valid)
        row: dict[str, Any] = {"level": level + 1, **controls(test, true, counts, seed)}
        row["probe"] = _f1(logits(train, level, test), test, true)
        finer = test.levels[level - 1] if level else None
        row["chunk_jump"] = None if finer is None else _f1(chunk_jumps(test, finer), test, true)
        row["step_jump"] = None if finer is None else _f1(step_jumps(test, finer), test, true)
        rows.append(row)
    return rows


def _f1(score: np.ndarray, of: Sequences, true: np.ndarray) -> float:
    cut = highest_cuts(score, of.valid, chunk_counts(true, of.valid))
    return boundary_f1(cut, true, of.valid, TOLERANCE).f1


def step_jumps(of: Sequences, cut: np.ndarray) -> np.ndarray:
    """Where bool (E, T) is cut, the change from the step before; elsewhere -inf. float (E, T)."""
    change = np.linalg.norm(np.diff(of.latents, axis=1, prepend=of.latents[:, :1]), axis=-1)
    return np.where(cut, change, -np.inf)


def chunk_jumps(of: Sequences, cut: np.ndarray) -> np.ndarray:
    """As `step_jumps`, from the first step of the chunk before."""
    found = np.full(cut.shape, -np.inf)
    for row, z, starts in zip(found, of.latents, map(np.flatnonzero, cut), strict=True):
        row[starts[1:]] = np.linalg.norm(np.diff(z[starts], axis=0), axis=-1)
    return found
