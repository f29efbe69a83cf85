"""What every kind of distractor is: columns of ground truth, and a way to paint a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from data_pipelines.distractors.moves import Moves

# paint(t, frame, mask, far): changes frame uint8 (S, S, 3) of time t in place, and sets mask, bool
# (S, S), where it covers a pixel. far: bool (S, S), where the frame shows what is behind the scene;
# None where nobody knows.
Paint = Callable[[int, np.ndarray, np.ndarray, np.ndarray | None], None]


class Layer(NamedTuple):
    """One distractor of one episode. state: float32 (N, C), in the order of its kind's columns."""

    state: np.ndarray
    paint: Paint


class Kind(NamedTuple):
    """One entry of the table of distractors.

    columns: of its ground truth. make(moves, size, strength, rng) -> Layer for frames of `size`
    pixels a side; equal arguments make equal layers. strength is in 0..1: at 0 nothing is drawn, and
    what `scale` says is as large as it gets at 1. needs_background: it paints where `far` is, and
    nowhere else.
    """

    columns: tuple[str, ...]
    make: Callable[[Moves, int, float, np.random.Generator], Layer]
    scale: str
    needs_background: bool = False


def put(
    frame: np.ndarray, mask: np.ndarray, shape: np.ndarray, colours: np.ndarray, x: int, y: int
) -> None:
    """Draws a figure with its top left corner at column x, row y; what leaves the frame on one side
    comes in on the other.

    shape: bool (h, w), where it is; colours: uint8 (h, w, 3). frame and mask as of Paint; a figure
    is at most as large as the frame.
    """
    rows, columns = (
        (start + np.arange(n)) % side
        for start, n, side in zip((y, x), shape.shape, mask.shape, strict=True)
    )
    drawn_rows, drawn_columns = np.nonzero(shape)
    where = rows[drawn_rows], columns[drawn_columns]
    frame[where] = colours[drawn_rows, drawn_columns]
    mask[where] = True
