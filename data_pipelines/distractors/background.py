"""A pattern or a video that scrolls behind the scene: where the renderer says that sky, ceiling or a
far wall shows, and nowhere else."""

from __future__ import annotations

import numpy as np

from data_pipelines.distractors.layer import Kind, Layer
from data_pipelines.distractors.moves import Moves
from data_pipelines.distractors.video import video_frames

SPEED = 1 / 16  # root mean square of a move, as a share of the picture's side
_WAVES, _FINEST = 12, 5  # cosines in the pattern, and periods across it at most


def background(
    moves: Moves, size: int, strength: float, rng: np.random.Generator, *, video: str = ""
) -> Layer:
    """state: how far the pattern is scrolled to the right and down, and its last move, in pixels.

    video: folder of a dataset whose frames are the pattern, one after the other, beside their mirror
    images, so that they have no seam either; "" for a pattern that is drawn and stays.
    """
    if video:
        pattern = video_frames(video, moves.frames, size, rng)
        pattern = np.concatenate([pattern, pattern[:, ::-1]], axis=1)
        pattern = np.concatenate([pattern, pattern[:, :, ::-1]], axis=2)
    else:
        pattern = _pattern(size, rng)[None]
    period = pattern.shape[1]
    steps = SPEED * size * moves.speeds(rng)
    path = ((rng.uniform(0, period, 2) + np.cumsum(steps, axis=0)) % period).astype(np.float32)
    shift = np.floor(path).astype(int)  # what the state says, to the pixel

    def paint(t, frame, mask, far):
        if not strength:
            return
        columns, rows = (np.arange(size) - start for start in shift[t])
        behind = pattern[t % len(pattern)].take(rows, 0, mode="wrap").take(columns, 1, mode="wrap")
        shown = frame + np.float32(strength) * (behind - frame.astype(np.float32))
        np.copyto(frame, np.rint(shown).astype(np.uint8), where=far[..., None])
        mask |= far

    return Layer(np.concatenate([path, steps], axis=1).astype(np.float32), paint)


def _pattern(size: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 (size, size, 3): smooth coloured blobs without a seam, each channel from 0 to 255."""
    along = 2 * np.pi * np.arange(size) / size
    total = np.zeros((size, size, 3))
    for _ in range(_WAVES):
        down, right = rng.integers(-_FINEST, _FINEST + 1, 2)
        phase = down * along[:, None] + right * along + rng.uniform(0, 2 * np.pi)
        total += np.cos(phase)[..., None] * rng.normal(size=3)
    low, high = total.min(axis=(0, 1)), total.max(axis=(0, 1))
    return np.rint(255 * (total - low) / np.maximum(high - low, 1e-9)).astype(np.uint8)


COLUMNS = ("background_x", "background_y", "background_dx", "background_dy")
KIND = Kind(
    COLUMNS,
    background,
    "share of the pattern in what is seen behind the scene, up to all of it",
    needs_background=True,
)
