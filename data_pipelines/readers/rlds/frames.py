"""The pictures of RLDS episodes: how large they are, and one camera of an episode as frames."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.framing import fit_frame
from data_pipelines.readers.frame_options import SMALLEST
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.rlds.fields import shows_something
from data_pipelines.readers.tfds.episodes import Episode, shard_episodes
from data_pipelines.readers.tfds.folder import TfdsFolder

_LOOKED_AT = 4  # shards whose first episodes tell the sizes
_UNDECLARED = 8  # of these, where the schema does not promise that all pictures have one size

Size = tuple[int, int]  # height, width


def camera_sizes(
    folder: TfdsFolder, images: dict[str, str], shards: Sequence[pathlib.Path]
) -> dict[str, Size]:
    """Camera -> the size of its pictures, by the first episodes of some shards.

    The schema is asked only where no picture can be: it need not say, and pictures may differ from
    it. Raises DataError, with the remedy, where a camera's pictures vary in size or nothing tells.
    """
    found: dict[str, set[Size]] = {camera: set() for camera in images}
    declared = {camera: folder.step_leaves()[key].shape[:2] for camera, key in images.items()}
    many = any(None in shape for shape in declared.values())
    for shard in shards[:: -(-len(shards) // _LOOKED_AT)]:
        episodes = (e for e in shard_episodes(folder, shard) if isinstance(e, Episode))
        for episode in itertools.islice(episodes, _UNDECLARED if many else 1):
            for camera, key in images.items():
                found[camera] |= _sizes(episode, key)
    for camera, shape in declared.items():
        height, width = shape
        if not found[camera] and height and width:
            found[camera] = {(height, width)}
    known = set().union(*found.values())
    for camera, sizes in found.items():
        # A camera without a picture is as large as the others, should one come.
        sizes = sizes or known
        if len(sizes) != 1 or min(next(iter(sizes))) < SMALLEST:
            varied = " and ".join(f"{h} x {w}" for h, w in sorted(sizes)[:4]) or "unknown"
            raise DataError(
                f"{folder.path}: the pictures of {images[camera]} are {varied} (height x width), "
                f"which cannot be kept as they are; add --size=N to bring all to N x N pixels"
            )
    return {camera: next(iter(sizes or known)) for camera, sizes in found.items()}


def _sizes(episode: Episode, key: str) -> set[Size]:
    """Of the first and last picture, unless the episode does not show this camera."""
    try:
        pictures = episode.steps[key]
        if not shows_something(pictures):
            return set()
        return {pictures[t].shape[:2] for t in (0, len(pictures) - 1)}
    except ItemError:  # told when the episode is read
        return set()


def step_count(episode: Episode, images: dict[str, str]) -> int:
    """Number of steps; raises ItemError unless all cameras with pictures agree on at least two.

    A camera may have none at all, which `camera_frames` says.
    """
    counts = {key: len(episode.steps[key]) for key in images.values() if episode.steps.held(key)}
    if not counts:
        raise ItemError("corrupt record", f"it has no field {' and no '.join(images.values())}")
    several = {count for count in counts.values() if count}
    if len(several) > 1:
        raise ItemError("step count", f"cameras differ in their number of frames: {counts}")
    count = several.pop() if several else 0
    if count < 2:
        raise ItemError("too short", f"{count} steps, no transition")
    return count


def camera_frames(
    episode: Episode, key: str, count: int, options: dict[str, Any], size: Size | None
) -> Iterator[np.ndarray]:
    """The `count` frames of one camera at the size of the options, or as they are: `size`.

    Raises ItemError: 'blank' for a camera that the episode does not have (no pictures, empty ones,
    or one and the same in every step, as publishers pad with), 'frame size', 'unreadable picture'.
    """
    pictures = episode.steps[key] if episode.steps.held(key) else ()
    if len(pictures) != count or not shows_something(pictures):
        raise ItemError("blank", f"{key}: its {len(pictures)} pictures are missing or all the same")
    for t in range(count):
        picture = pictures[t]
        if size is None:
            yield fit_frame(picture, options["size"], options["fit"])
            continue
        if picture.shape[:2] != tuple(size):
            height, width = picture.shape[:2]
            raise ItemError(
                "frame size",
                f"{key}: the picture of step {t} is {height} x {width}, others {size[0]} x "
                f"{size[1]} (height x width); add --size=N to bring all to N x N pixels",
            )
        yield picture
