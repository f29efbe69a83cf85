"""What ViZDoom's renderer knows of each pixel, at the size of the frames: the weapon, depth, what is
far.

The label buffer holds 0 where a wall shows, 1 where floor, ceiling or sky do, and another number for
every object; the player's weapon and hands are an object of his own class. The depth buffer holds
0..255 in the engine's units, 0 for the weapon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.format.maps import AGENT_MASK, BACKGROUND_MASK, DEPTH

PLAYER = "DoomPlayer"
_WALL, _PLANE = 0, 1  # labels
FAR = 12  # in units of the depth buffer, from where on a wall is background


def agent_mask(state: Any, size: int) -> np.ndarray:
    """uint8 (size, size, 1): 255 where the weapon and the hands that hold it show; 0 everywhere in
    scenarios without a weapon."""
    own = [label.value for label in state.labels if label.object_name == PLAYER]
    return _shrunk_mask(np.isin(state.labels_buffer, own), size)


def background_mask(state: Any, size: int) -> np.ndarray:
    """uint8 (size, size, 1): 255 where ceiling, sky or a wall that is FAR or farther shows.

    Ceiling and sky are what is no wall and no object above the horizon, which stays at half of the
    height: players of these scenarios do not look up or down.
    """
    labels, depth = state.labels_buffer, state.depth_buffer
    above = np.arange(len(labels))[:, None] < len(labels) / 2
    return _shrunk_mask(((labels == _PLANE) & above) | ((labels == _WALL) & (depth >= FAR)), size)


def depth(state: Any, size: int) -> np.ndarray:
    """uint8 (size, size, 1): the depth buffer, averaged by area as the frames are."""
    return _by_area(state.depth_buffer, size)[..., None]


def _shrunk_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A pixel of the frame belongs to what covers at least half of it."""
    share = _by_area(mask.astype(np.uint8) * 255, size)
    return np.where(share >= 128, 255, 0).astype(np.uint8)[..., None]


def _by_area(picture: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX))


MAPS: dict[str, Callable[[Any, int], np.ndarray]] = {
    DEPTH: depth,
    AGENT_MASK: agent_mask,
    BACKGROUND_MASK: background_mask,
}
