"""The light of the whole picture flickers: its brightness, and its colour from blue to red.

It covers no pixel, so it is in no mask: every pixel is that of the scene (or of the other
distractors), times the gains that the state tells.
"""

from __future__ import annotations

import numpy as np

from data_pipelines.distractors.layer import Kind, Layer
from data_pipelines.distractors.moves import Moves

LARGEST = 0.5  # root mean square of the logarithm of the gain of red, and of blue, at strength 1

# What brightness and warmth add to the logarithm of the gains of red, green and blue.
_CHANNELS = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0]])


def flicker(moves: Moves, size: int, strength: float, rng: np.random.Generator) -> Layer:
    """state: brightness and warmth, each of mean square 1/2, whatever the strength."""
    del size
    state = moves.speeds(rng).astype(np.float32)
    factors = gains(state, strength)

    def paint(t, frame, mask, far):
        del mask, far
        if strength:
            frame[:] = np.clip(np.rint(frame * factors[t]), 0, 255).astype(np.uint8)

    return Layer(state, paint)


def gains(state: np.ndarray, strength: float) -> np.ndarray:
    """float32 (N, 3), of red, green and blue, for states (N, 2)."""
    return np.exp(LARGEST * strength * np.asarray(state, np.float32) @ _CHANNELS).astype(np.float32)


COLUMNS = ("flicker_brightness", "flicker_warmth")
KIND = Kind(
    COLUMNS,
    flicker,
    f"root mean square of the logarithm of the gain of red, and of blue, up to {LARGEST}",
)
