"""Small figures that move over the whole picture, which has no edges for them.

Their place is a point on a torus, so that every move is exactly what drives it.
"""

from __future__ import annotations

import numpy as np

from data_pipelines.distractors.layer import Kind, Layer, put
from data_pipelines.distractors.moves import Moves

COUNT = 3
LARGEST = 0.4  # side of a sprite of strength 1, as a share of the picture's
SPEED = 1 / 16  # root mean square of a move, as a share of the picture's side


def sprites(moves: Moves, size: int, strength: float, rng: np.random.Generator) -> Layer:
    """COUNT sprites. state: place of the top left corner and last move, pixels; see COLUMNS."""
    side = round(LARGEST * strength * size)
    places, states, figures = [], [], []
    for _ in range(COUNT):
        start = rng.uniform(0, size, 2)
        shape, colours = _figure(side, rng)
        steps = SPEED * size * moves.speeds(rng)
        path = ((start + np.cumsum(steps, axis=0)) % size).astype(np.float32)
        states.append(np.concatenate([path, steps], axis=1))
        places.append(np.floor(path).astype(int) % size)  # what the state says, to the pixel
        figures.append((shape, colours))

    def paint(t, frame, mask, far):
        del far
        for place, (shape, colours) in zip(places, figures, strict=True):
            put(frame, mask, shape, colours, *place[t])

    return Layer(np.concatenate(states, axis=1).astype(np.float32), paint)


def _figure(side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A disc, square, diamond or cross of two colours: (shape bool (S, S), colours uint8 (S, S, 3))."""
    kind = rng.integers(4)
    colours = rng.integers(0, 256, (2, 3), dtype=np.uint8)
    # One of them bright and one dark in some channel, so that it shows on any wall.
    colours[0, rng.integers(3)], colours[1] = 255, colours[1] // 3
    y, x = np.abs(np.mgrid[:side, :side] - (side - 1) / 2) / max(side / 2, 1)
    shape = (x**2 + y**2 <= 1, x <= 1, x + y <= 1.1, np.minimum(x, y) <= 0.35)[kind]
    inner = np.maximum(x, y) <= 0.5
    return np.broadcast_to(shape, (side, side)), colours[inner.astype(int)]


COLUMNS = tuple(f"sprite{i}_{name}" for i in range(COUNT) for name in ("x", "y", "dx", "dy"))
KIND = Kind(
    COLUMNS,
    sprites,
    f"side of each of {COUNT} sprites, up to {LARGEST} of the picture's",
)
