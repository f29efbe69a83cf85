"""A supervised probe of boundaries: what a model could find that was told where they are.

Dimension keys: E sequences, T steps, N steps of all sequences, P features of one.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from experiments.skill_study.sequences import Sequences
from flexlam_jax.evaluation.cuts import first_steps

HISTORY = 1  # steps before that are read beside each
_RIDGE = 1.0  # of the weights of features of deviation 1, against a sum over all steps


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

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ weights
        value = np.logaddexp(0, z).sum() - true @ z + _RIDGE / 2 * weights @ weights
        return value, x.T @ (expit(z) - true) + _RIDGE * weights

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", tol=1e-10).x
