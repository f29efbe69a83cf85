"""Episodes that chunk policies play, many at once, and whether they solved their tasks.

An episode is a function of (task, seed, policy), whatever is played beside it, in whatever order
and number of processes.

Dimension keys: B slots of the pool, H W C image, P proprioception.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from flexlam_jax.acting.chunk_actor import ChunkActor
from flexlam_jax.evaluation.rollouts import (
    Episode,
    Live,
    Moment,
    Outcome,
    Pool,
    Watcher,
    turns,
)


class Told(Moment, Protocol):
    """A moment with what the simulator says: state float32 (P,), sentence, whether it is solved."""

    @property
    def state(self) -> np.ndarray | None: ...
    @property
    def language(self) -> str: ...
    @property
    def success(self) -> bool | None: ...


class ViewedPool(Pool[Told], Protocol):
    """A pool that shows several cameras."""

    @property
    def views(self) -> Mapping[str, np.ndarray]:
        """camera -> uint8 (B, H, W, C), the present pictures."""
        ...


def play_chunks(
    pool: ViewedPool,
    actor: ChunkActor,
    episodes: Sequence[Episode],
    *,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
    watch: Watcher | None = None,
) -> list[Outcome]:
    """Plays episodes, as many at once as the pool has slots; the next begins where one ends.

    Args:
      actor: with as many slots as the pool, or more.
      on_end: is told every episode that ended or was lost, in the order of their ends.
      watch: is shown every picture of the pool's first camera.

    Returns:
      The outcomes in the order of `episodes`.
    """
    outcomes: dict[Episode, Outcome] = {}

    def act(live: Mapping[int, Live]) -> Mapping[int, np.ndarray]:
        slots = sorted(live)
        if not slots:
            return {}
        return actor.act(slots, np.array([live[slot].draws()[0] for slot in slots], np.uint32))

    def unseen() -> frozenset[int]:
        return frozenset() if watch else actor.unseen

    for slot, one, moment in turns(pool, episodes, act, unseen):
        if moment.done or moment.lost:
            success = None if moment.lost else moment.success
            ended = Outcome(one.episode, one.total, one.steps, moment.lost, success)
            outcomes[one.episode] = ended
            on_end(ended)
            continue
        if one.steps and slot in unseen():
            continue
        assert moment.state is not None  # which ends alone may lack
        frames = {camera: view[slot] for camera, view in pool.views.items()}
        actor.see(slot, frames, moment.state, moment.language, first=one.steps == 0)
        if watch:
            watch(one.episode, one.steps, pool.frames[slot].copy(), None)
    return [outcomes[episode] for episode in episodes]
