"""Clips that a world is measured on: frames it starts from, true frames after them, their codes.

Dimension keys: N clips, C frames of context, T steps after them, H W frame, K slots, D slot width.
"""

import dataclasses

import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.loading.lam import LoadedLam


@dataclasses.dataclass(frozen=True)
class Clips:
    """N clips, whose frames are one step of the world apart.

    Attributes:
      frames: uint8 (N, C + T, H, W, channels).
      context: C; a world starts from the newest of these that it can read.
      slots: float32 (N, T, K, D), of the transitions to the T frames after the context.
      ids: int32 (N, T, K), None where slots are continuous.
      action: int (N, T) or float (N, T, A), of the same transitions; None where unknown.
      episode: int (N,).
    """

    frames: np.ndarray
    context: int
    slots: np.ndarray
    ids: np.ndarray | None
    action: np.ndarray | None
    episode: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def horizon(self) -> int:
        """T."""
        return self.frames.shape[1] - self.context

    @property
    def target(self) -> np.ndarray:
        """What is to be predicted, (N, T, H, W, channels)."""
        return self.frames[:, self.context :]

    @property
    def last(self) -> np.ndarray:
        """The newest frame of the context, (N, H, W, channels)."""
        return self.frames[:, self.context - 1]

    def start(self, history: int) -> np.ndarray:
        """The newest frames of the context, at most `history`."""
        return self.frames[:, max(0, self.context - history) : self.context]


def clips_of(
    lam: LoadedLam,
    frames: np.ndarray,
    context: int,
    action: np.ndarray | None,
    episode: np.ndarray,
) -> Clips:
    """Clips with the codes that `lam` reads from them.

    Args:
      frames: uint8 (N, C + T, H, W, channels).      context: C.
      action: (N, C + T - 1, ...), of all transitions, or None.

    Raises:
      UserError: no clip, or none of T >= 1 steps after the context.
    """
    if not len(frames) or not 1 <= context < frames.shape[1]:
        raise UserError(
            f"clips have shape {frames.shape}, of which {context} frames are context; a clip needs "
            "at least one frame to start from and one to compare with"
        )
    before, after = frames[:, context - 1 : -1], frames[:, context:]
    flat = [x.reshape(-1, *x.shape[2:]) for x in (before, after)]
    slots, ids = lam.encode_with_ids(*flat)
    shape = before.shape[:2]
    return Clips(
        frames,
        context,
        np.asarray(slots, np.float32).reshape(*shape, *slots.shape[1:]),
        None if ids is None else np.asarray(ids).reshape(*shape, -1),
        None if action is None else np.asarray(action)[:, context - 1 :],
        np.asarray(episode),
    )
