"""How much of its capacity a code uses: distinct codes, perplexity, and bits per transition."""

import numpy as np

from flexlam_jax.evaluation import intervals
from flexlam_jax.reports.results import Number


def entropy_bits(counts: np.ndarray, axis: int = -1) -> np.ndarray:
    """Plug-in Shannon entropy of counts along `axis`, in bits; low by about (V-1)/(2N ln 2)."""
    counts = np.asarray(counts, np.float64)
    total = counts.sum(axis=axis, keepdims=True)
    p = counts / np.maximum(total, 1e-12)
    return (p * -np.log2(np.where(p > 0, p, 1))).sum(axis=axis) + 0.0  # no negative zero


def discrete_usage(ids_NK: np.ndarray, codebook_size: int, episode_N: np.ndarray) -> list[dict]:
    """Usage of every slot of a discrete code.

    Args:
      ids_NK: (N, K) integer ids in 0..codebook_size-1, one row per transition.
      codebook_size: codes per slot.
      episode_N: (N,) episode ids for the intervals.

    Returns:
      One dict per slot: `slot` (from 1), `used` (distinct codes), `codebook_size`, `entropy` (bits
      of this slot alone), `perplexity` (2^entropy), `cumulative_bits` (sum of slot entropies up to
      here: an upper bound on what a prefix of this length carries, since slots may repeat each
      other), `counts` (how often each code occurs).
    """
    ids_NK = np.asarray(ids_NK)
    if ids_NK.size and (ids_NK.min() < 0 or ids_NK.max() >= codebook_size):
        raise ValueError(
            f"discrete_usage: ids span {ids_NK.min()}..{ids_NK.max()}, outside "
            f"0..{codebook_size - 1}; pass unmasked ids"
        )
    _, episode_index = np.unique(np.asarray(episode_N), return_inverse=True)
    episodes = int(episode_index.max()) + 1
    weights = np.concatenate([np.ones((1, episodes)), intervals.resample_weights(episodes, 0)])
    rows, cumulative = [], np.zeros(len(weights))
    for slot in range(ids_NK.shape[1]):
        by_episode = np.zeros((episodes, codebook_size))
        np.add.at(by_episode, (episode_index, ids_NK[:, slot]), 1)
        bits = entropy_bits(weights @ by_episode)
        cumulative = cumulative + bits
        counts = by_episode.sum(0).astype(int)
        rows.append(
            {
                "slot": slot + 1,
                "used": int((counts > 0).sum()),
                "codebook_size": int(codebook_size),
                "entropy": _from_samples(bits, episodes, "bits"),
                "perplexity": _from_samples(2**bits, episodes, "codes"),
                "cumulative_bits": _from_samples(cumulative.copy(), episodes, "bits"),
                "counts": counts.tolist(),
            }
        )
    return rows


def continuous_usage(slots_NKD: np.ndarray, episode_N: np.ndarray) -> list[dict]:
    """One dict per slot of a continuous code: `slot`, `spread` (RMS distance from its mean)."""
    slots_NKD = np.asarray(slots_NKD, np.float64)
    squared = np.square(slots_NKD - slots_NKD.mean(0)).mean(-1)
    return [
        {
            "slot": slot + 1,
            "spread": intervals.over_episodes(
                {"squared": squared[:, slot]},
                episode_N,
                lambda sums: np.sqrt(sums["squared"] / sums["count"]),
                unit="slot units",
            ),
        }
        for slot in range(slots_NKD.shape[1])
    ]


def _from_samples(samples, n: int, unit: str) -> Number:
    """The first sample is the estimate, the others are its bootstrap resamples."""
    low, high = intervals.percentiles(samples[1:])
    return Number(float(samples[0]), low, high, n, unit, "episodes")
