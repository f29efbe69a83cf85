"""Sequences of latent actions whose true boundaries are known.

Dimension keys: E sequences, T steps, F numbers of a latent action.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

SPLITS = ("train", "validation", "test")
_LEAST = 1e-6  # A number that is always the same has no scale.


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Sequences of one split.

    Attributes:
      latents: float32 (E, T, F), 0 in padding.
      valid: bool (E, T), padding at the end of a row.
      levels: bool (E, T) each, the first step of every true segment, the finest level first.
    """

    latents: np.ndarray
    valid: np.ndarray
    levels: tuple[np.ndarray, ...]


def normalised(splits: Mapping[str, Sequences]) -> dict[str, Sequences]:
    """Every number brought to mean 0 and deviation 1, by the train split, as a run does it."""
    of = splits["train"]
    steps = of.latents[of.valid].astype(np.float64)
    mean, scale = steps.mean(axis=0), steps.std(axis=0)
    scale = np.where(scale < _LEAST, 1.0, scale)
    return {
        name: dataclasses.replace(
            one,
            latents=np.where(one.valid[..., None], (one.latents - mean) / scale, 0).astype(
                np.float32
            ),
        )
        for name, one in splits.items()
    }


def padded(sequences: list[np.ndarray], length: int) -> np.ndarray:
    """Arrays (T_i, ...) of one kind -> (E, length, ...), zeros after the end of each."""
    found = np.zeros((len(sequences), length, *sequences[0].shape[1:]), sequences[0].dtype)
    for row, sequence in zip(found, sequences, strict=True):
        row[: len(sequence)] = sequence
    return found
