"""Codes that were not read from the clip at hand: random ones, and those of a wanted action.

Dimension keys: N clips, T steps, P transitions whose codes are drawn from, K slots, D slot width.
"""

import numpy as np

from flexlam_jax.world.typed_codes import code_book


def random_codes(
    slots: np.ndarray, ids: np.ndarray | None, keep: int, shape: tuple[int, int], seed: int
) -> np.ndarray:
    """Codes for N x T steps that know nothing of the clips, float32 (N, T, K, D).

    Every step draws anew, uniformly from the distinct prefixes of `keep` slots that occur, as Genie
    draws uniformly from its codebook (arXiv 2402.15391, section 3); combinations that no transition
    has are never drawn. Continuous slots: uniformly from the transitions.

    Args:
      slots: (P, K, D) of transitions, whose `ids` are (P, K) or None.
    """
    rng = np.random.default_rng([seed, 17])
    if ids is None:
        return slots[rng.integers(0, len(slots), shape)]
    example = code_book(ids, keep).example
    return slots[example[rng.integers(0, len(example), shape)]]


def commanded(
    slots: np.ndarray, action: np.ndarray, count: int, classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes that command actions: each is that of a random real transition with the action.

    Args:
      slots: (P, K, D).   action: int (P,).   count: N starts, every one of which gets every action.

    Returns:
      (codes float32 (N, A, K, D), the A actions that occur, ascending).
    """
    rng = np.random.default_rng([seed, 23])
    occur = np.flatnonzero(np.bincount(action, minlength=classes))
    drawn = [rng.choice(np.flatnonzero(action == one), count) for one in occur]
    return slots[np.stack(drawn, 1)], occur
