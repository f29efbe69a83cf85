"""Distractors drawn onto an episode, all that is asked for, and the ground truth of what was added."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from data_pipelines.distractors import background, flicker, sprites, walker
from data_pipelines.distractors.layer import Kind, Layer
from data_pipelines.distractors.moves import Moves

# In the order in which they are drawn: what is behind the scene first, the light last.
KINDS: dict[str, Kind] = {
    "background": background.KIND,
    "agent": walker.KIND,
    "sprites": sprites.KIND,
    "flicker": flicker.KIND,
}


class Distractors(NamedTuple):
    """The distractors of one episode. state: float32 (N, C), in the order of `columns`."""

    layers: tuple[Layer, ...]
    state: np.ndarray


class Distracted(NamedTuple):
    """frames: uint8 (N, S, S, 3); mask: uint8 (N, S, S, 1), 255 where a distractor covers the pixel.

    Where the mask is 0, a frame is that of the simulator; with flicker, that times the gains.
    """

    frames: np.ndarray
    mask: np.ndarray


def columns(strengths: Mapping[str, float]) -> tuple[str, ...]:
    """Names of the ground truth of these kinds."""
    return tuple(name for kind in _ordered(strengths) for name in KINDS[kind].columns)


def distractors(
    moves: Moves,
    size: int,
    strengths: Mapping[str, float],
    seed: tuple[int, ...],
    *,
    video: str = "",
) -> Distractors:
    """Those of one episode: a function of these arguments alone.

    strengths: by kind. seed: whole numbers; every kind draws for itself, so that one does the same
    whether others are there or not, at any strength. video: folder of the dataset that is the
    background, "" for a pattern.
    """
    layers = tuple(
        _made(kind, video)(
            moves, size, strengths[kind], np.random.default_rng([*seed, zlib.crc32(kind.encode())])
        )
        for kind in _ordered(strengths)
    )
    return Distractors(layers, np.concatenate([layer.state for layer in layers], axis=1))


def distract(frames: np.ndarray, added: Distractors, far: np.ndarray | None = None) -> Distracted:
    """Draws distractors onto frames (N, S, S, 3) of one camera, which are left as they are.

    far: uint8 (N, S, S, 1), not 0 where what is behind the scene shows; kinds that need it have it.
    """
    frames = frames.copy()
    mask = np.zeros(frames.shape[:3], bool)
    for t, frame in enumerate(frames):
        behind = None if far is None else far[t, ..., 0] > 0
        for layer in added.layers:
            layer.paint(t, frame, mask[t], behind)
    return Distracted(frames, np.where(mask, 255, 0).astype(np.uint8)[..., None])


def _made(kind: str, video: str) -> Callable[..., Layer]:
    make = KINDS[kind].make
    return functools.partial(background.background, video=video) if kind == "background" else make


def _ordered(strengths: Mapping[str, float]) -> list[str]:
    return [kind for kind in KINDS if kind in strengths]
