"""Playing many clips with a world, a batch at a time.

Dimension keys: N clips, B rows of a batch, T0 frames of a start, T steps, H W C frame, K slots, D
slot width.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from flexlam_jax.world.world import World

ROWS = 64  # of a batch: what is missing of the last one is padded, so that one program serves all


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a world is asked for frames: `steps` and `temperature` None for the world's own."""

    seed: int = 0
    steps: int | None = None
    temperature: float | None = None


def generate(
    world: World,
    start: np.ndarray,
    codes: np.ndarray,
    keep: int | None = None,
    sampling: Sampling = Sampling(),  # noqa: B008, it is frozen.
    *,
    tick: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """The frames after `start` under `codes`, uint8 (N, T, H, W, C).

    Args:
      start: uint8 (N, T0, H, W, C).      codes: float32 (N, T, K, D).
      keep: slots that count; None for all.
      tick: called with the number of clips done.
    """
    made = []
    for first in range(0, len(start), ROWS):
        rows = np.arange(first, min(first + ROWS, len(start)))
        size = ROWS if len(start) > ROWS else len(start)
        padded = np.concatenate([rows, np.repeat(rows[-1:], size - len(rows))])
        state, frames = world.start(start[padded]), []
        for t in range(codes.shape[1]):
            frame, state = world.step(
                state,
                codes[padded, t],
                keep,
                seed=_seed(sampling.seed, first, t),
                steps=sampling.steps,
                temperature=sampling.temperature,
            )
            frames.append(np.asarray(frame)[: len(rows)])
        made.append(np.stack(frames, 1))
        tick(len(rows))
    return np.concatenate(made)


def _seed(seed: int, first: int, t: int) -> int:
    """Of one step of one batch: equal for equal arguments, different otherwise."""
    return int(np.random.default_rng([seed, first, t]).integers(2**31))
