"""Whether one score ranks models as another one does: rank correlation over models.

    table({"cycle": [.8, .3, …]}, {"action probe": [.7, .4, …]})   # position i: model i

For scores that need no labels, beside those that do. Models are resampled, never their transitions:
the question is about the next model.

Dimension keys: M models, R resamples.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from scipy import stats

from flexlam_jax.evaluation import intervals
from flexlam_jax.reports.results import Column, Number, Table

FEWEST = 4  # models; of three, every resample is tied or perfect
Score = float | None  # of one model; None where it has none


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rho along the last axis: (…, M), (…, M) -> (…).

    Pearson's correlation of the ranks, those of ties averaged. NaN where all of x or all of y are
    equal.
    """
    x, y = (_centred(stats.rankdata(one, axis=-1)) for one in (x, y))
    return _ratio((x * y).sum(-1), np.square(x).sum(-1), np.square(y).sum(-1))


def kendall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b along the last axis: (…, M), (…, M) -> (…).

    Pairs of models ordered alike minus those ordered against each other, over what is possible given
    the ties. NaN where all of x or all of y are equal.
    """
    x, y = (np.sign(np.asarray(one)[..., :, None] - one[..., None, :]) for one in (x, y))
    squares = [np.square(one).sum((-1, -2)) for one in (x, y)]
    return _ratio((x * y).sum((-1, -2)), *squares)


def over_models(
    x_M: Sequence[float],
    y_M: Sequence[float],
    correlation: Callable[[np.ndarray, np.ndarray], np.ndarray] = spearman,
    *,
    seed: int = 0,
) -> Number | None:
    """The correlation with a bootstrap interval over models; None where all x or all y are equal.

    Resamples without two different values have no correlation and are left out.

    Raises:
      ValueError: fewer than FEWEST models, scores of other numbers of models, or one not finite.
    """
    x, y = np.asarray(x_M, np.float64), np.asarray(y_M, np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < FEWEST:
        raise ValueError(
            f"rank correlation: {x.shape} and {y.shape} scores; give one of each for at least "
            f"{FEWEST} models"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("rank correlation: scores are NaN or infinite; leave these models out")
    estimate = float(correlation(x, y))
    if math.isnan(estimate):
        return None
    rng = np.random.default_rng([seed, len(x)])
    rows_RM = rng.integers(0, len(x), (intervals.RESAMPLES, len(x)))
    samples = correlation(x[rows_RM], y[rows_RM])
    low, high = intervals.percentiles(samples[~np.isnan(samples)])
    return Number(estimate, low, high, len(x), "rank correlation", "models")


def table(
    scores: Mapping[str, Sequence[Score]],
    labelled: Mapping[str, Sequence[Score]],
    *,
    title: str = "Which rows rank models as labels do",
    seed: int = 0,
) -> Table:
    """A row {score, against, models, spearman, kendall} for each score and each labelled score.

    Args:
      scores, labelled: name -> one value per model, in one order; None or NaN where a model has
        none, which is then left out of that row. `models` says how many are left.

    A correlation is None (a dash) with fewer than FEWEST models, or where all values are equal.
    """
    rows = []
    for name, x in scores.items():
        for against, y in labelled.items():
            both = [(a, b) for a, b in zip(x, y, strict=True) if _there(a) and _there(b)]
            row: dict[str, Any] = {"score": name, "against": against, "models": len(both)}
            own, other = [a for a, _ in both], [b for _, b in both]
            for key, correlation in (("spearman", spearman), ("kendall", kendall)):
                enough = len(both) >= FEWEST
                row[key] = over_models(own, other, correlation, seed=seed) if enough else None
            rows.append(row)
    columns = [
        Column("score", "score"),
        Column("against", "against"),
        Column("models", "models"),
        Column("spearman", "Spearman"),
        Column("kendall", "Kendall"),
    ]
    return Table(
        title,
        rows,
        columns,
        index=("score", "against"),
        caption="Rank correlation over models; ± is half of a 95 % bootstrap interval over models.",
    )


def _there(value: Score) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _centred(ranks: np.ndarray) -> np.ndarray:
    return ranks - ranks.mean(-1, keepdims=True)


def _ratio(product: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    scale = np.sqrt(x * y)
    return np.where(scale > 0, product / np.where(scale > 0, scale, 1), np.nan)
