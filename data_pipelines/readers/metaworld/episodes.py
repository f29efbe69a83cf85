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
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines.readers import hdf5_files, paths
from data_pipelines.recordings import Item, ItemError, Skipped

SUFFIXES = {"hdf5": (".hdf5", ".h5"), "npz": (".npz",)}
MAX_NPZ_BYTES = 4 << 30  # npz members are unpacked as a whole


@dataclasses.dataclass
class Arrays:
    """One episode of T frames. frames: camera -> function that starts reading them."""

    frames: dict[str, Callable[[], Iterator[np.ndarray]]]
    action: np.ndarray
    state: np.ndarray
    reward: np.ndarray | None
    metadata: dict[str, Any]


def find_files(root: pathlib.Path, format: str) -> list[pathlib.Path]:
    """Files of the format below `root`, relative to it, in natural order."""
    found = (path for path in root.rglob("*") if path.suffix in SUFFIXES[format])
    return sorted((path.relative_to(root) for path in found), key=paths.natural)


def list_items(root: pathlib.Path, format: str) -> tuple[list[Item], list[Skipped]]:
    """One item per episode, and the files that cannot be used."""
    items, skipped = [], []
    for file in find_files(root, format):
        name = file.as_posix()
        try:
            path = paths.inside(root, file)
            if format == "npz":
                items.append(Item(name, {"file": name}, max(1, path.stat().st_size)))
                continue
            with hdf5_files.open_hdf5(path) as opened:
                groups = [key for key in opened if re.fullmatch(r"episode_\d+", key)]
            if not groups:
                raise ItemError("unreadable", f"{name}: no groups episode_<n>")
            size = max(1, path.stat().st_size // len(groups))
            items += [
                Item(f"{name}:{group}", {"file": name, "episode": group}, size)
                for group in sorted(groups, key=paths.natural)
            ]
        except ItemError as error:
            skipped.append(Skipped(name, error.reason, str(error)))
    return items, skipped


def facts(root: pathlib.Path, item: Item) -> tuple[list[str], float]:
    """Cameras and frames per second of an episode; fps 0 if unknown."""
    arrays = read_episode(root, item)
    return sorted(arrays.frames), float(arrays.metadata.get("fps", 0.0))


def read_episode(root: pathlib.Path, item: Item) -> Arrays:
    """Labels now, frames later; raises ItemError if something is missing."""
    path = paths.inside(root, item.payload["file"])
    if "episode" in item.payload:
        return _read_hdf5(path, item.payload["episode"])
    return _read_npz(path)


def _read_hdf5(path: pathlib.Path, episode: str) -> Arrays:
    with hdf5_files.open_hdf5(path) as file:
        group = hdf5_files.subgroup(file, episode)
        cameras = sorted(hdf5_files.subgroup(group, "frames")) if "frames" in group else []
        if not cameras:
            raise ItemError("no images", f"{path}: {episode} has no frames/<camera>")
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
            metadata=_plain({**file.attrs, **group.attrs}, path),
        )


def _read_npz(path: pathlib.Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_NPZ_BYTES:
            raise ItemError("unreadable", f"{path}: {size} bytes unpacked; use HDF5")
        with np.load(path, allow_pickle=False) as file:
            cameras = [name for name in file.files if name.startswith("frames_")]
            if not cameras:
                raise ItemError("no images", f"{path} has no arrays frames_<camera>")
            values = {name: file[name] for name in file.files if name not in cameras}
            pictures = {name.removeprefix("frames_"): file[name] for name in sorted(cameras)}
    except ItemError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # ValueError: an array of objects, which only unpickling could read
        raise ItemError("unreadable", f"{path}: {error}") from error
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
            plain[name] = value
    return plain
