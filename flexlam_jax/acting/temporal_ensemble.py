"""Temporal ensembling: what is done is a weighted mean of all chunks that speak of the present step.

A policy gives a chunk at every step; of the chunk given j steps ago, number j is about now. The
weights are exp(-rate i), i = 0 the oldest of those that there are (Zhao et al., arXiv 2304.13705).
How many there are is counted, never read off the values: a prediction that is zero counts.

    state = start(episodes=8, chunk=10, width=7)
    state, action = push(state, policy.decide(...))        # once per step
    state = restart(state, ended)                          # where a new episode begins

Pure functions of NumPy arrays. Dimension keys: B episodes, C steps of a chunk, A numbers of a step.
"""

import dataclasses

import numpy as np

RATE = 0.01  # BAKU's


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """The chunks of the last C steps of B episodes.

    Attributes:
      chunks: float32 (B, C, C, A): [:, j] is what was given j steps ago.
      count: int32 (B,), how many of them belong to the episode.
    """

    chunks: np.ndarray
    count: np.ndarray


def start(episodes: int, chunk: int, width: int) -> Ensemble:
    """Before the first step."""
    return Ensemble(
        np.zeros((episodes, chunk, chunk, width), np.float32), np.zeros(episodes, np.int32)
    )


def push(state: Ensemble, chunks: np.ndarray, rate: float = RATE) -> tuple[Ensemble, np.ndarray]:
    """Takes the chunks (B, C, A) of the present step.

    Args:
      rate: of the decay from the oldest on; 0 is the plain mean, a negative one prefers the newest.

    Returns:
      (state, actions float32 (B, A)).

    Raises:
      ValueError: chunks of another shape than the state's.
    """
    B, C, _, A = state.chunks.shape
    chunks = np.asarray(chunks, np.float32)
    if chunks.shape != (B, C, A):
        raise ValueError(f"chunks are {chunks.shape}; this ensemble takes {(B, C, A)}")
    held = np.concatenate([chunks[:, None], state.chunks[:, :-1]], axis=1)
    count = np.minimum(state.count + 1, C)
    ago = np.arange(C)
    present = held[:, ago, ago]  # (B, C, A): number j of what was given j steps ago.
    order = count[:, None] - 1 - ago  # 0 the oldest; below 0 there is none.
    weights = np.where(order >= 0, np.exp(-rate * np.maximum(order, 0)), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    actions = np.einsum("bc,bca->ba", weights, present).astype(np.float32)
    return Ensemble(held, count.astype(np.int32)), actions


def restart(state: Ensemble, rows: np.ndarray) -> Ensemble:
    """Forgets the chunks of the episodes `rows`, bool (B,)."""
    return dataclasses.replace(state, count=np.where(rows, 0, state.count).astype(np.int32))
