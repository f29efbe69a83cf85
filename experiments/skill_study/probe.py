"""A supervised probe of boundaries: what a model could find that was told where they are.

Dimension keys: E sequences, T steps, N steps of all sequences, P features of one.
"""

import numpy as np

from experiments.skill_study.sequences import Sequences
from flexlam_jax.evaluation.cuts import first_steps

HISTORY = 1  # steps before that are read beside each
_RIDGE = 1.0  # of the weights of features of deviation 1, against a sum over all steps
_STEPS = 25  # of Newton's method, which is done long before
_DONE = 1e-5


def logits(train: Sequences, level: int, test: Sequences) -> np.ndarray:
    """Log odds, float (E, T), that a segment of a level begins at each test step: logistic
    regression on `features`, fitted on the train split. Nothing is read of later steps."""
    x, true = features(train.latents), train.levels[level]
    known = train.valid & ~first_steps(train.valid)  # These begin one whatever is said.
    mean, scale = x[known].mean(axis=0), np.maximum(x[known].std(axis=0), 1e-6)
    weights = _logistic((x[known] - mean) / scale, true[known].astype(float))
    return (features(test.latents) - mean) / scale @ weights[:-1] + weights[-1]


def features(latents: np.ndarray) -> np.ndarray:
    """(E, T, F) -> (E, T, P): the numbers of a step and of HISTORY before it, and their sizes."""
    first = latents[:, :1]
    seen = [
        np.concatenate([np.repeat(first, back, axis=1), latents[:, : latents.shape[1] - back]], 1)
        for back in range(HISTORY + 1)
    ]
    return np.concatenate([*seen, *map(np.abs, seen)], axis=-1).astype(np.float64)


def _logistic(x: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Weights (P + 1,), the last of a constant, of features (N, P) and 0 or 1 (N,)."""
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    ridge = _RIDGE * np.eye(x.shape[1])
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (likely - true) + ridge @ weights
        curvature = (x * (likely * (1 - likely))[:, None]).T @ x + ridge
        change = np.linalg.solve(curvature, gradient)
        weights -= change
        if np.abs(change).max() < _DONE:
            break
    return weights
