"""Recorded Meta-World episodes in HDF5 and npz files: the project's own layout.

HDF5: one file per task, `<anything>/<task>.hdf5`; attributes of the file: `task` (text), `fps`,
perhaps `language`; one group `episode_<n>` per episode, with

    frames/<camera>   uint8 (T, H, W, 3), upright
    action            float (T-1, 4) or (T, 4); row t leads from frame t to t + 1, a row T - 1 is
                      dropped
    state             float (T, 39), the environment's observation, one row per frame
    reward            float, as many rows as action

npz: one file per episode with the arrays frames_<camera>, action, state, reward and the texts
`task` and `language`, and `fps`.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines.readers.files import hdf5_files, lost_files, paths
from data_pipelines.readers.files.labels import json_value
from data_pipelines.readers.files.listing import Listing, list_files
from data_pipelines.readers.files.npz import read_npz
from data_pipelines.readers.recordings import Item, ItemError, Skipped

SUFFIXES = {"hdf5": hdf5_files.SUFFIXES, "npz": (".npz",)}
_FASTEST = 1000.0  # frames per second


@dataclasses.dataclass
class Arrays:
    """One episode of T frames. frames: camera -> function that starts reading them."""

    frames: dict[str, Callable[[], Iterator[np.ndarray]]]
    action: np.ndarray
    state: np.ndarray
    reward: np.ndarray | None
    metadata: dict[str, Any]


def find_files(root: pathlib.Path, format: str, *, follow_links: bool = True) -> Listing:
    """The files of the format below `root`."""
    return list_files(root, SUFFIXES[format], follow_links=follow_links)


def list_items(root: pathlib.Path, listing: Listing) -> tuple[list[Item], list[Skipped]]:
    """One item per episode, and the files that cannot be used."""
    items, skipped = [], lost_files.unknown(listing.skipped)
    for path in listing.files:
        name = path.relative_to(root).as_posix()
        try:
            if path.suffix.lower() in SUFFIXES["npz"]:
                items.append(Item(name, {"file": name}, max(1, path.stat().st_size)))
                continue
            with hdf5_files.open_hdf5(path) as opened:
                groups = [key for key in opened if re.fullmatch(r"episode_[0-9]+", key)]
                if not groups:
                    held = ", ".join(list(opened)[:8]) or "nothing"
                    raise ItemError("unreadable", f"{name}: no groups episode_<n>; it has {held}")
            size = max(1, path.stat().st_size // len(groups))
            items += [
                Item(f"{name}:{group}", {"file": name, "episode": group}, size)
                for group in sorted(groups, key=paths.natural)
            ]
        except ItemError as error:  # nobody knows how many episodes it holds
            skipped.append(Skipped(name, error.reason, str(error), episodes=None))
    return items, lost_files.estimated(root, items, skipped)


def facts(root: pathlib.Path, item: Item, *, follow_links: bool = True) -> tuple[list[str], float]:
    """Cameras and frames per second of an episode; fps 0 if unknown."""
    arrays = read_episode(root, item, follow_links=follow_links)
    fps = arrays.metadata.get("fps", 0.0)
    if isinstance(fps, str) or not 0 <= fps <= _FASTEST:
        raise ItemError("bad metadata", f"{item.name}: fps is {fps!r}; expected frames per second")
    return sorted(arrays.frames), float(fps)


def read_episode(root: pathlib.Path, item: Item, *, follow_links: bool = True) -> Arrays:
    """Labels now, frames later; raises ItemError if something is missing."""
    path = paths.inside(root, item.payload["file"], follow_links=follow_links)
    if "episode" in item.payload:
        return _read_hdf5(path, item.payload["episode"])
    return _read_npz(path)


def _read_hdf5(path: pathlib.Path, episode: str) -> Arrays:
    with hdf5_files.open_hdf5(path) as file:
        group = hdf5_files.subgroup(file, episode)
        cameras = sorted(hdf5_files.subgroup(group, "frames")) if "frames" in group else []
        if not cameras:
            held = ", ".join(list(group)[:8]) or "nothing"
            raise ItemError("no images", f"{path}: {episode} has no frames/<camera>; it has {held}")
        for camera in cameras:
            hdf5_files.frame_count(group, f"frames/{camera}")
        return Arrays(
            frames={
                camera: lambda camera=camera: hdf5_files.iter_frames(
                    path, episode, f"frames/{camera}"
                )
                for camera in cameras
            },
            action=hdf5_files.read_array(group, "action", 4),
            state=hdf5_files.read_array(group, "state", 39),
            reward=hdf5_files.read_array(group, "reward"),
            metadata=_plain(_attributes(file) | _attributes(group), path),
        )


def _attributes(group) -> dict[str, Any]:
    """The attributes of one value each; raises ItemError 'too large'."""
    found = {}
    for name in group.attrs:
        if group.attrs.get_id(name).shape != ():
            continue
        value = group.attrs[name]
        text = isinstance(value, (str, bytes))
        found[name] = hdf5_files.text_attribute(group, name) if text else value
    return found


def _read_npz(path: pathlib.Path) -> Arrays:
    values = read_npz(path)
    cameras = sorted(name for name in values if name.startswith("frames_"))
    if not cameras:
        held = ", ".join(list(values)[:8]) or "nothing"
        raise ItemError("no images", f"{path} has no arrays frames_<camera>; it has {held}")
    pictures = {name.removeprefix("frames_"): values.pop(name) for name in cameras}
    for name, frames in pictures.items():
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ItemError("no images", f"{path}: frames_{name} is {frames.dtype} {frames.shape}")
    scalars = {name: value.item() for name, value in values.items() if value.ndim == 0}
    return Arrays(
        frames={name: lambda frames=frames: iter(frames) for name, frames in pictures.items()},
        action=_labels(values, "action", 4, path),
        state=_labels(values, "state", 39, path),
        reward=_labels(values, "reward", None, path),
        metadata=_plain(scalars, path),
    )


def _labels(values: dict[str, np.ndarray], name: str, width: int | None, path) -> np.ndarray:
    """Float32 (T,), or (T, width)."""
    found = values.get(name)
    if found is None:
        raise ItemError("missing labels", f"{path}: no array {name}")
    shape = () if width is None else (width,)
    if found.ndim != 1 + len(shape) or found.shape[1:] != shape or found.dtype.kind not in "fiu":
        raise ItemError(
            "wrong shape", f"{path}: {name} is {found.dtype} {found.shape}, expected (T, *{shape})"
        )
    return found.astype(np.float32)


def _plain(attributes: dict[str, Any], path: pathlib.Path) -> dict[str, Any]:
    """Texts and numbers among the attributes; the task is the file's name if it is not given."""
    plain: dict[str, Any] = {"task": path.stem}
    for name, value in attributes.items():
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, (str, int, float, bool)):
            plain[name] = json_value(value)
    return plain | {"task": str(plain["task"])}
