"""A second agent: a figure that walks over the floor from one goal to the next and rests there.

Its floor begins at the bottom of the picture and ends at the horizon, half of the height. Its own
dynamics are its goals, which it does not forget: `memory` is nothing to it.
"""

from __future__ import annotations

import numpy as np

from data_pipelines.distractors.layer import Kind, Layer, put
from data_pipelines.distractors.moves import Moves

LARGEST = 0.8  # height of the figure at the near end, strength 1, as a share of the picture's
SPEED = 1 / 24  # length of a step, as a share of the floor's width and depth
STEP = 1.1  # radians of the legs' swing, per step of full length
_RESTS = 6  # frames at a goal, at most
_FURTHEST = 3.0  # how many times as far as the near end, plus one, the far end is


def walker(moves: Moves, size: int, strength: float, rng: np.random.Generator) -> Layer:
    """state: column of the feet, pixels; depth, 0 near to 1 far; what both changed by; the phase of
    the legs as cosine and sine."""
    path = _walk(moves, rng)
    steps = np.diff(path, axis=0, prepend=path[:1])
    swing = STEP / SPEED * np.cumsum(np.hypot(*_short(steps).T))
    colours = _dress(rng)
    state = np.concatenate(
        [path * (size, 1), _short(steps) * (size, 1), np.stack([np.cos(swing), np.sin(swing)], 1)],
        1,
    )

    def paint(t, frame, mask, far):
        del far
        x, depth = path[t]
        near = 1 / (1 + _FURTHEST * depth)
        height = round(LARGEST * strength * size * near)
        if height < 1:
            return
        parts = _figure(height, swing[t])
        foot = round(size / 2 * (1 + near)) - 1
        shape = parts > 0
        # A head above the picture does not come in below.
        shape[: max(0, height - foot - 1)] = False
        left = int(x * size) - shape.shape[1] // 2
        put(frame, mask, shape, colours[parts], left, foot - height + 1)

    return Layer(state.astype(np.float32), paint)


def _walk(moves: Moves, rng: np.random.Generator) -> np.ndarray:
    """float64 (N, 2): place from left to right, without edges, and depth, both in 0..1."""
    place, goal, rest = rng.uniform(0, 1, 2), rng.uniform(0, 1, 2), 0
    path = [place]
    for t in range(moves.frames - 1):
        way = goal - place
        if np.hypot(*way) < SPEED:
            goal, rest = rng.uniform(0, 1, 2), int(rng.integers(_RESTS))
            way = goal - place
        own = np.zeros(2) if rest else way / max(np.hypot(*way), 1e-9)
        rest = max(0, rest - 1)
        place = place + SPEED * moves.driven(own, t)
        place = np.array([place[0] % 1, np.clip(place[1], 0, 1)])
        path.append(place)
    return np.stack(path)


def _short(steps: np.ndarray) -> np.ndarray:
    """Moves (N, 2) as they were walked, also where they cross the edge."""
    across = (steps[:, :1] + 0.5) % 1 - 0.5
    return np.concatenate([across, steps[:, 1:]], axis=1)


def _dress(rng: np.random.Generator) -> np.ndarray:
    """uint8 (4, 3): nothing, skin, coat, trousers."""
    coat, trousers = rng.integers(0, 256, (2, 3), dtype=np.uint8)
    coat[rng.integers(3)] = 255
    return np.stack(
        [np.zeros(3, np.uint8), np.array([240, 200, 160], np.uint8), coat, trousers // 2]
    )


def _figure(height: int, swing: float) -> np.ndarray:
    """int (height, W): which part of the figure shows, 0 for none; W is half of the height."""
    width = max(1, height // 2)
    v, u = np.mgrid[:height, :width]
    v, u = (v + 0.5) / height, (u + 0.5) / height - width / height / 2
    parts = np.zeros((height, width), int)
    reach = 0.2 * np.sin(swing)
    for side in (-1, 1):
        parts[_limb(u, v, (0, 0.58), (side * reach, 1.0), 0.055)] = 3
        parts[_limb(u, v, (0, 0.28), (-side * reach, 0.58), 0.04)] = 2
    parts[(np.abs(u) <= 0.1) & (v >= 0.24) & (v <= 0.6)] = 2
    parts[np.hypot(u, v - 0.12) <= 0.11] = 1
    return parts


def _limb(u, v, start, end, thickness) -> np.ndarray:
    """bool, like u and v: points closer to the line from start to end than `thickness`."""
    (x, y), (dx, dy) = start, np.subtract(end, start)
    along = np.clip(((u - x) * dx + (v - y) * dy) / (dx**2 + dy**2), 0, 1)
    return np.hypot(u - x - along * dx, v - y - along * dy) <= thickness


COLUMNS = (
    "walker_x",
    "walker_depth",
    "walker_dx",
    "walker_ddepth",
    "walker_swing_cos",
    "walker_swing_sin",
)
KIND = Kind(COLUMNS, walker, f"height of the figure, up to {LARGEST} of the picture's, when near")
