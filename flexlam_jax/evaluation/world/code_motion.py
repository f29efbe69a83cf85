"""The motion that each code causes, its spread over starts, and whether codes can be told by it.

As the playable-video line does (Menapace et al., CVPR 2021: variance of the motion within actions,
accuracy of telling actions by it), but means are fitted on the starts of some episodes and all is
scored on those of others. Motion is the mean shift of what moved in a step (world/displacement.py).

Dimension keys: V codes, S starts.
"""

from typing import Any

import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation import intervals
from flexlam_jax.evaluation.world.effects import Effects
from flexlam_jax.reports.results import Number
from flexlam_jax.world.displacement import displacement


def motion_of(effects: Effects) -> np.ndarray:
    """Displacement under every code from every start, float32 (V, S, 2) pixels, x right, y down."""
    pairs = effects.pairs()
    codes, starts = effects.after.shape[:2]
    return displacement(pairs[:, 0], pairs[:, 1]).reshape(codes, starts, 2)


def halves(episode: np.ndarray) -> np.ndarray:
    """Which starts means are fitted on, bool (S,): every other episode.

    Raises:
      UserError: a single episode, of which no other is left to score.
    """
    names, index = np.unique(episode, return_inverse=True)
    if len(names) < 2:
        raise UserError(
            "the motion of codes is scored on other episodes than it was fitted on, and all clips "
            "are of one; take data with at least two episodes in the split"
        )
    return index.reshape(-1) % 2 == 0


def code_rows(motion: np.ndarray, episode: np.ndarray) -> list[dict[str, Any]]:
    """A row per code: {dx, dy, spread}, Numbers in pixels over held-out episodes.

    dx, dy are the mean; spread is the root mean square distance to the mean of the other episodes.
    """
    fitted = halves(episode)
    rows = []
    for own in motion:
        far = np.square(own[~fitted] - own[fitted].mean(0)).sum(-1)
        values = {"dx": own[~fitted, 0], "dy": own[~fitted, 1], "far": far}
        rows.append(
            {
                "dx": _mean(values, "dx", episode[~fitted]),
                "dy": _mean(values, "dy", episode[~fitted]),
                "spread": intervals.over_episodes(
                    values,
                    episode[~fitted],
                    lambda sums: np.sqrt(sums["far"] / sums["count"]),
                    unit="pixels",
                ),
            }
        )
    return rows


def separation(motion: np.ndarray, episode: np.ndarray) -> dict[str, Number]:
    """How well codes are told apart by the motion they cause, on held-out episodes.

    Returns:
      explained: 1 - squared distance to the own code's mean / that to the mean of all codes; 1, each
        code always causes one motion; 0 or less, all cause the same.
      accuracy: share whose nearest mean is that of the own code; chance is 1 / V.
    """
    fitted = halves(episode)
    means = motion[:, fitted].mean(1)  # (V, 2)
    held = motion[:, ~fitted]  # (V, s, 2)
    to_each = np.square(held[:, :, None] - means).sum(-1)  # (V, s, V)
    own = np.moveaxis(np.diagonal(to_each, axis1=0, axis2=2), -1, 0)  # (V, s)
    values = {
        "own": own.sum(0),
        "all": np.square(held - means.mean(0)).sum(-1).sum(0),
        "right": (to_each.argmin(-1) == np.arange(len(motion))[:, None]).mean(0),
    }
    explained = intervals.over_episodes(
        values,
        episode[~fitted],
        lambda sums: 1 - sums["own"] / np.maximum(sums["all"], 1e-12),
        unit="of the squared motion",
    )
    return {"explained": explained, "accuracy": _mean(values, "right", episode[~fitted], "share")}


def _mean(
    values: dict[str, np.ndarray], key: str, episode: np.ndarray, unit: str = "pixels"
) -> Number:
    return intervals.over_episodes(
        {key: values[key]}, episode, lambda sums: sums[key] / sums["count"], unit=unit
    )
