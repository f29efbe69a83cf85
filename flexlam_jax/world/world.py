"""What is played: a model that is started from frames and steps under latent actions.

A page, a measure or a rollout knows this and no model:

    state = world.start(frames)                                    # uint8 (B, T0, H, W, C)
    frames, state = world.step(state, codes, keep, seed=0)         # codes (B, K, D), keep (B,)

Dimension keys: B rows played side by side, T0 frames of a start, H, W, C of a frame, K slots of D
numbers.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np


@runtime_checkable
class World(Protocol):
    """A model of video that latent actions steer.

    Attributes:
      frame_shape: (H, W, C).      history: the most frames that a start may have.
      slots, slot_width: K and D of the latent action model whose codes it obeys.
      budgets: prefix lengths that it was trained with.
      sampling_steps: steps per frame where none are given; 0 for models that do not sample.
    """

    frame_shape: tuple[int, int, int]
    history: int
    slots: int
    slot_width: int
    budgets: tuple[int, ...]
    sampling_steps: int

    def start(self, frames: np.ndarray) -> Any:
        """A state after frames.

        Args:
          frames: uint8 (B, T0, H, W, C), the oldest first, 1 <= T0 <= history.

        Returns:
          An immutable pytree of arrays with B rows: kept, it is a place to go back to.

        Raises:
          ValueError: frames of another type or shape, or too many.
        """

    def step(
        self,
        state: Any,
        codes: np.ndarray | jax.Array,
        keep: np.ndarray | int | None = None,
        *,
        seed: int = 0,
        steps: int | None = None,
        temperature: float | None = None,
    ) -> tuple[np.ndarray, Any]:
        """The next frame of every row, and the state after it.

        Args:
          codes: float32 (B, K, D), slots as `LoadedLam.encode` gives them.
          keep: how many slots count, an int or (B,) in 0..K; None for all.
          seed: of what is drawn at random; with the same state and codes it gives the same frame.
          steps, temperature: of sampling; None for the model's own.

        Returns:
          uint8 (B, H, W, C), and the state; `state` itself is unchanged.
        """
