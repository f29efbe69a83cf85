"""Train / validation / test by episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_pipelines.errors import DataError

SPLITS = ("train", "validation", "test")
HELD_OUT = 0.1  # each of validation and test


def assign_splits(episodes: Sequence[int], seed: int, name: str) -> dict[str, list[int]]:
    """80/10/10 by a seeded permutation, whole episodes, at least one in each split, time order
    kept.

    Raises DataError for fewer than three episodes.
    """
    episodes = sorted(episodes)
    if len(episodes) < 3:
        raise DataError(
            f"dataset {name} has {len(episodes)} episodes; three are needed for train, validation "
            "and test. Collect more, or cut long recordings into several files"
        )
    held = max(1, round(HELD_OUT * len(episodes)))
    order = np.random.default_rng(seed).permutation(len(episodes))
    chosen = {
        "validation": order[:held],
        "test": order[held : 2 * held],
        "train": order[2 * held :],
    }
    return {split: [episodes[i] for i in sorted(chosen[split])] for split in SPLITS}
