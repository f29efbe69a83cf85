"""Train / validation / test by group; a group is an episode, or all that must stay together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from data_pipelines.errors import DataError

SPLITS = ("train", "validation", "test")
HELD_OUT = 0.1  # each of validation and test
Group = TypeVar("Group", bound=Hashable)
MORE = "Collect more, or cut long recordings (videos: --cut=SECONDS)"


def assign_splits(
    groups: Sequence[Group],
    seed: int,
    name: str,
    published: Mapping[Group, str] | None = None,
) -> dict[Group, str]:
    """group -> split: 80/10/10 by a seeded permutation of `groups`, at least one in each split.

    published: the splits that the publisher fixed. They are kept; a split that nobody published is
    cut from the groups that are train or unassigned.

    Raises DataError for a published split that is unknown, and where fewer than three groups, or
    too few to cut from, are there.
    """
    published = {group: split for group, split in (published or {}).items() if split}
    unknown = sorted(set(published.values()) - set(SPLITS))
    if unknown:
        raise DataError(f"dataset {name}: unknown splits {unknown}; known: {', '.join(SPLITS)}")
    if len(groups) < 3:
        raise DataError(
            f"dataset {name} has {len(groups)} episodes; three are needed for train, validation "
            f"and test. {MORE}"
        )
    assigned = {group: published.get(group, "train") for group in groups}
    free = [group for group in groups if assigned[group] == "train"]
    missing = [split for split in SPLITS[1:] if split not in published.values()]
    if len(free) <= len(missing):
        raise DataError(
            f"dataset {name}: {len(free)} episodes are left to cut {' and '.join(missing)} from. "
            f"{MORE}"
        )
    held = max(1, round(HELD_OUT * len(free)))
    order = np.random.default_rng(seed).permutation(len(free))
    for i, split in enumerate(missing):
        for place in order[i * held : (i + 1) * held]:
            assigned[free[place]] = split
    return assigned
