"""What each code does: one step under it from many starts.

Dimension keys: V codes, S starts, P transitions, k slots that count, K slots, D slot width, H W C
frame.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from flexlam_jax.evaluation.world.clips import Clips
from flexlam_jax.evaluation.world.generation import Sampling, generate
from flexlam_jax.world.typed_codes import CodeBook, code_book
from flexlam_jax.world.world import World


@dataclasses.dataclass(frozen=True)
class InUse:
    """The most frequent codes of a budget.

    keep: k.   ids: (V, k).   slots: (V, K, D), those from k on of some transition.   share: (V,).
    book: of all codes of the transitions.
    """

    keep: int
    ids: np.ndarray
    slots: np.ndarray
    share: np.ndarray
    book: CodeBook


@dataclasses.dataclass(frozen=True)
class Effects:
    """Frames before and after one step.

    before: uint8 (S, H, W, C).   after: (V, S, H, W, C).   episode: (S,).
    """

    before: np.ndarray
    after: np.ndarray
    episode: np.ndarray

    def pairs(self) -> np.ndarray:
        """(V * S, 2, H, W, C), code by code."""
        before = np.broadcast_to(self.before, self.after.shape)
        return np.stack([before, self.after], 2).reshape(-1, 2, *self.before.shape[1:])


def codes_in_use(slots: np.ndarray, ids: np.ndarray, keep: int, most: int) -> InUse:
    """The `most` most frequent prefixes of `keep` slots of transitions (P, K, D), ids (P, K)."""
    book = code_book(ids, keep)
    return InUse(keep, book.ids[:most], slots[book.example[:most]], book.share[:most], book)


def code_effects(
    world: World,
    clips: Clips,
    in_use: InUse,
    sampling: Sampling,
    tick: Callable[[int], object] = lambda count: None,
) -> Effects:
    """One step under every code from the start of every clip."""
    codes, starts = len(in_use.ids), len(clips)
    made = generate(
        world,
        np.tile(clips.start(world.history), (codes, 1, 1, 1, 1)),
        np.repeat(in_use.slots, starts, 0)[:, None],
        in_use.keep,
        sampling,
        tick=tick,
    )
    return Effects(clips.last, made.reshape(codes, starts, *clips.last.shape[1:]), clips.episode)
