"""What a rollout needs of anything that acts.

Dimension keys: B episodes, T pictures of history, H W C image, A actions, K slots.
"""

import dataclasses
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class Decision:
    """What a policy says about the next action of each episode.

    Attributes:
      probabilities: float32 (B, A), rows sum to one.
      prediction: float32 (B, H, W, C) in [0, 1], the next frame that the policy has in mind; None
        if it was not asked for or the policy predicts none.
      tokens: int32 (B, K), the latent-action tokens behind that frame; None if there are none.
    """

    probabilities: np.ndarray
    prediction: np.ndarray | None = None
    tokens: np.ndarray | None = None


class Policy(Protocol):
    """Maps the newest frames of B episodes to probabilities of the next action.

    Which action is taken, the likeliest or a drawn one, is the rollout's choice.

    Attributes:
      action_names: names of the actions, in the order of the probabilities.
      history: frames T that `decide` reads, the present one last. Before the first frame of an
        episode, its first frame is repeated.
      image_size: (height, width) of the frames.
    """

    action_names: tuple[str, ...]
    history: int
    image_size: tuple[int, int]

    def decide(self, frames: np.ndarray, seeds: np.ndarray, *, predict: bool = False) -> Decision:
        """What to do next, a pure function of the arguments: no memory from call to call.

        Args:
          frames: uint8 (B, T, H, W, C), any B.
          seeds: uint32 (B,), one per row; a row's result depends on its own seed and frames only.
          predict: whether `Decision.prediction` is wanted, for instance for a video.
        """
        ...
