"""What a latent action tells about the true action, and the baselines it must beat.

A probe is a translator fitted on few labelled train transitions and scored on test transitions. The
score is accuracy for discrete actions and R^2 for continuous ones.
"""

from collections.abc import Callable, Sequence

import numpy as np

from flexlam_jax.evaluation import intervals, translator_fit
from flexlam_jax.evaluation.translator_fit import ActionTarget, Recipe
from flexlam_jax.reports.results import Number

MEAN = "mean"  # of the datasets, beside their names
POOLED = 16  # side of the pooled frames that the pixel baselines read


def label_draws(transitions: int, draws: int, seed: int) -> np.ndarray:
    """(draws, transitions) int32: random orders; the first n of a row are draw's n labels.

    Label sets are nested: the 64 labels of a draw are among its 256. Every model sees the same.
    """
    return np.stack([label_draw(transitions, draw, seed) for draw in range(draws)])


def label_draw(transitions: int, draw: int, seed: int) -> np.ndarray:
    """(transitions,) int32: row `draw` of `label_draws`."""
    return np.random.default_rng([seed, draw]).permutation(transitions).astype(np.int32)


def pooled_pixels(frames_BHWC: np.ndarray) -> np.ndarray:
    """uint8 frames (B, H, W, C) -> (B, 16*16*C) float32 in [0, 1] by averaging blocks.

    Frames whose sides are no multiple of 16 are cut at the right and lower edge.
    """
    batch, height, width, channels = frames_BHWC.shape
    rows, columns = height // POOLED, width // POOLED
    if not rows or not columns:
        raise ValueError(f"pooled_pixels: frames of {height}x{width} are smaller than {POOLED} px")
    frames = np.asarray(frames_BHWC)[:, : rows * POOLED, : columns * POOLED]
    blocks = frames.reshape(batch, POOLED, rows, POOLED, columns, channels)
    sums = blocks.sum(axis=(2, 4), dtype=np.uint32)
    return (sums / np.float32(rows * columns * 255)).astype(np.float32).reshape(batch, -1)


def probe(
    train_VNF: np.ndarray,
    train_actions: np.ndarray,
    test_NF: np.ndarray,
    *,
    labels: int,
    draws_LN: np.ndarray,
    spec: ActionTarget,
    recipe: Recipe = translator_fit.TRANSLATOR,
    seed: int = 0,
) -> np.ndarray:
    """Fits one probe per label draw and returns their outputs, to be scored by `score`.

    Args:
      train_VNF, test_NF: features, of V variants or one as in `translator_fit.fit`.
      train_actions: true actions.
      labels: labels per fit; at most the train transitions.
      draws_LN: rows of `label_draws`.

    Returns:
      (L, N, size) logits or actions of the test transitions.
    """
    variables = translator_fit.fit(train_VNF, train_actions, draws_LN, labels, spec, recipe, seed)
    return np.asarray(translator_fit.predict(variables, test_NF, spec, recipe))


def score(
    outputs_LN: np.ndarray,
    train_actions: np.ndarray,
    test_actions: np.ndarray,
    test_episode_N: np.ndarray,
    spec: ActionTarget,
) -> Number:
    """Accuracy, or R^2 against predicting the mean train action, with its interval.

    Args:
      outputs_LN: (L, N, size) logits or actions, L label draws.
    """
    values, statistic = _sums(outputs_LN, train_actions, test_actions, spec)
    return intervals.over_draws_and_episodes(values, test_episode_N, statistic, unit=spec.metric)


def scores_by_dataset(
    outputs_LN: np.ndarray,
    train_actions: np.ndarray,
    test_actions: np.ndarray,
    test_episode_N: np.ndarray,
    spec: ActionTarget,
    dataset_N: np.ndarray,
    names: Sequence[str],
) -> dict[str, Number]:
    """{dataset: `score` on its rows alone, MEAN: the mean of these, each counting the same}.

    Args:
      dataset_N: position of each test transition's dataset in `names`; at least one of each.
    """
    values, statistic = _sums(outputs_LN, train_actions, test_actions, spec)
    numbers, mean = intervals.over_groups(
        values, test_episode_N, dataset_N, statistic, unit=spec.metric
    )
    return {**dict(zip(names, numbers, strict=True)), MEAN: mean}


def _sums(
    outputs_LN: np.ndarray, train_actions: np.ndarray, test_actions: np.ndarray, spec: ActionTarget
) -> tuple[dict[str, np.ndarray], Callable]:
    """(values (L, N) of each transition, the score as a function of their sums)."""
    if spec.discrete:
        correct = np.asarray(outputs_LN).argmax(-1) == np.asarray(test_actions)
        return {"correct": correct}, lambda sums: sums["correct"] / sums["count"]
    test_actions = np.asarray(test_actions, np.float64)
    scale = np.maximum(np.asarray(train_actions, np.float64).std(0), 1e-6)
    residual = np.square((outputs_LN - test_actions) / scale).mean(-1)
    total = np.square((test_actions - np.mean(train_actions, 0)) / scale).mean(-1)
    total = np.broadcast_to(total, (len(outputs_LN), len(total)))
    return (
        {"residual": residual, "total": total},
        lambda sums: 1 - sums["residual"] / np.maximum(sums["total"], 1e-12),
    )


def constant_outputs(train_actions: np.ndarray, count: int, spec: ActionTarget) -> np.ndarray:
    """(1, count, size): the majority class of the train split, or its mean action, every time."""
    if spec.discrete:
        counts = np.bincount(np.asarray(train_actions), minlength=spec.size)
        output = np.eye(spec.size)[counts.argmax()]
    else:
        output = np.mean(train_actions, 0)
    return np.broadcast_to(output, (1, count, spec.size))


def null_filled(slots_NKD: np.ndarray, keep: int, null_D: np.ndarray) -> np.ndarray:
    """Host twin of `models.bottleneck.null_fill` for one prefix length: features (N, K * D)."""
    slots_NKD = np.asarray(slots_NKD)
    kept = (np.arange(slots_NKD.shape[1]) < keep)[None, :, None]
    return np.where(kept, slots_NKD, np.asarray(null_D)).reshape(len(slots_NKD), -1)


def shuffled_rows(count: int, seed: int) -> np.ndarray:
    """A random permutation of 0..count-1 that leaves nothing in place (one random cycle)."""
    if count < 2:
        raise ValueError("shuffling needs at least two transitions")
    order = np.random.default_rng([seed, 7]).permutation(count)
    partner = np.empty(count, np.int64)
    partner[order] = np.roll(order, 1)
    return partner
