"""What is read from codes and from observations, by least squares: no probe has to be tuned.

Dimension keys: N transitions, F features, Y = 4 columns of TRUTH, K slots.
"""

from collections.abc import Iterator

import numpy as np

from experiments.plant_study.arms import LEVELS
from experiments.plant_study.plants import DISTURBANCES, PUMPS, TRUTH, Plants
from flexlam_jax.linear.closed_forms import innovation_covariance, principal_components


def r_squared(
    train: np.ndarray, truth: np.ndarray, test: np.ndarray, expected: np.ndarray
) -> np.ndarray:
    """(Y,): of a linear map with offset, fitted to features (N, F) and columns (N, Y) of training.

    Negative where it predicts worse than the mean of the training.
    """
    scale = train.std(0) + 1e-9
    fitted, held = (np.c_[x / scale, np.ones(len(x))] for x in (train, test))
    # A thousandth of a row's worth of shrinkage, so that constant or equal features do no harm.
    gram = fitted.T @ fitted + 1e-3 * np.eye(fitted.shape[1])
    weights = np.linalg.solve(gram, fitted.T @ truth)
    error = np.square(held @ weights - expected).mean(0)
    return 1 - error / np.square(expected - truth.mean(0)).mean(0)


def told(train: np.ndarray, of: Plants, test: np.ndarray, expected: Plants, chosen: np.ndarray):
    """{what is read: R^2}: each column of TRUTH with all labels, and the pumps with few.

    Args:
      chosen: the transitions that are labelled where few are.
    """
    every = r_squared(train, of.truth, test, expected.truth)
    few = r_squared(train[chosen], of.truth[chosen], test, expected.truth)
    own, outside = np.maximum(every[PUMPS], 0).mean(), np.maximum(every[DISTURBANCES], 0).mean()
    return {
        **dict(zip(TRUTH, map(float, every), strict=True)),
        "pumps": float(every[PUMPS].mean()),
        "pumps_few": float(few[PUMPS].mean()),
        "exogenous_share": float(outside / max(own + outside, 1e-9)),
    }


def principal_slots(train: Plants, test: Plants) -> tuple[np.ndarray, np.ndarray]:
    """The linear latent action model in closed form: components (N, 3) of the innovation of levels.

    Source: arXiv 2506.15691, proposition 4.2; docs/exogenous/linear.md.
    """
    clips = [one.clips[:, -2:, :LEVELS].astype(np.float64) for one in (train, test)]
    mean = clips[0].mean((0, 1))
    now, following = ((clips[0] - mean)[:, i] for i in (0, 1))
    count = len(now)
    sigma, predict = innovation_covariance(
        now.T @ now / count, following.T @ following / count, following.T @ now / count
    )
    vectors = principal_components(sigma, LEVELS).vectors
    return tuple(((one - mean)[:, 1] - (one - mean)[:, 0] @ predict.T) @ vectors for one in clips)


def observations(plants: Plants) -> Iterator[tuple[str, np.ndarray]]:
    """Features without a model, by name."""
    now, following = (plants.clips[:, i, :LEVELS] for i in (-2, -1))
    yield "o_t", now
    yield "pair", np.concatenate([now, following], 1)
