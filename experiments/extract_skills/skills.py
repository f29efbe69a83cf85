"""The skills of episodes: where their chunks begin, and the vectors there.

Dimension keys: B episodes of a group, T steps, N rows of a group, W width of a skill.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from experiments.skill_episodes import Group
from flexlam_jax.evaluation.cuts import chunk_counts, equal_cuts, jump_cuts, random_cuts
from flexlam_jax.loading.hilam import LoadedHiLam

LEARNED, EQUAL, RANDOM, JUMP = CUTS = "learned", "equal", "random", "jump"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which skills: of `stage`, from 1, in chunks by `cuts`, which `seed` is of where random."""

    stage: int
    cuts: str = LEARNED
    seed: int = 0

    def told(self) -> dict[str, Any]:
        """As manifests hold it."""
        seed = {"seed": self.seed} if self.cuts == RANDOM else {}
        return {"stage": self.stage, "cuts": self.cuts} | seed


def skills_of(
    skills: LoadedHiLam, group: Group, wanted: Wanted, key: jax.Array
) -> dict[str, np.ndarray]:
    """skill float32 (N, W) and boundary uint8 (N,) of the rows of a group."""
    stage = wanted.stage - 1
    found = group.segment(skills)
    cut, skill = found.boundaries[stage], found.skills[stage]
    if wanted.cuts != LEARNED:
        counts = chunk_counts(cut, group.valid)
        if wanted.cuts == EQUAL:
            cut = equal_cuts(group.valid, counts)
        elif wanted.cuts == RANDOM:
            cut = random_cuts(key, group.valid, counts)
        else:
            scale = np.asarray(skills.model.scale or 1, np.float32)  # As the model reads them.
            cut = jump_cuts(group.latents / scale, group.valid, counts)
        skill = held(group.encode(skills)[stage], cut)
    return {"skill": group.flat(skill), "boundary": group.flat(cut).astype(np.uint8)}


def held(vectors: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Every step gets the vector at the last cut: (B, T, W), bool (B, T) -> (B, T, W)."""
    last = np.maximum.accumulate(np.where(cut, np.arange(cut.shape[1]), 0), axis=1)
    return np.take_along_axis(vectors, last[..., None], axis=1)
