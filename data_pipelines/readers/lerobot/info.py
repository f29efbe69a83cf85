"""`meta/info.json` of a LeRobot set: version, rate, features, and where its files lie."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.readers.files import opening, paths
from data_pipelines.typed_json import read_json

VERSIONS = ("v2.0", "v2.1", "v3.0")
MAX_WIDTH = 10_000  # numbers of one vector
_MAX_FPS = 1000.0
_NUMBERS = ("float", "int", "uint", "bool")


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature as info.json declares it. info: of videos, what their files are."""

    dtype: str
    shape: list[int] | None = None
    names: Any = None
    info: dict[str, Any] | None = None

    @property
    def is_camera(self) -> bool:
        return self.dtype in ("video", "image")

    @property
    def is_depth(self) -> bool:
        """Whether the pictures hold distances, not colours."""
        info = self.info or {}
        return bool(info.get("video.is_depth_map") or info.get("is_depth_map"))

    @property
    def is_number(self) -> bool:
        return self.dtype.rstrip("0123456789_") in _NUMBERS

    @property
    def width(self) -> int:
        """Numbers per row, those of a matrix counted one by one."""
        return math.prod(self.shape or [1])


@dataclasses.dataclass(frozen=True)
class _Json:
    """The fields of info.json that are used. Their ranges are checked by `open_lerobot`."""

    codebase_version: str | float
    fps: float
    features: dict[str, Feature]
    data_path: str
    video_path: str | None = None
    chunks_size: int | None = None
    splits: dict[str, Any] | None = None
    total_episodes: int | None = None
    robot_type: str | None = None


@dataclasses.dataclass(frozen=True)
class LeRobot:
    """A set whose info.json was checked. features: name -> Feature."""

    root: pathlib.Path
    version: str
    fps: float
    features: dict[str, Feature]
    data_path: str
    video_path: str | None
    chunks_size: int
    splits: dict[str, Any]
    total_episodes: int | None
    robot: str
    follow_links: bool

    @property
    def packed(self) -> bool:
        """Whether files hold many episodes each (v3.0), not one (v2.x)."""
        return self.version.startswith("v3")

    def file(self, relative: str | pathlib.Path) -> pathlib.Path:
        """A file of the set by the path that its metadata name; raises ItemError 'unsafe path'."""
        return paths.inside(self.root, relative, follow_links=self.follow_links)

    def names(self, feature: str) -> tuple[str, ...]:
        """Names of the dimensions of a vector feature; made up if the set does not say."""
        described = self.features[feature]
        names, width = _flat_names(described.names), described.width
        if len(names) == width and len(set(names)) == width:
            return tuple(names)
        return tuple(f"{feature.split('.')[-1]}_{i}" for i in range(width))


def is_lerobot(root: pathlib.Path) -> bool:
    return (root / "meta" / "info.json").is_file()


def meta_file(root: pathlib.Path, name: str, expected: str, follow_links: bool) -> pathlib.Path:
    """`root/meta/name`; raises ItemError if it is not there, or not what it should be."""
    path = paths.inside(root, f"meta/{name}", follow_links=follow_links)
    problem = opening.fault(path, expected)
    if problem is not None:
        raise problem
    return path


def open_lerobot(root: pathlib.Path, *, follow_links: bool = True) -> LeRobot:
    """Raises DataError if `meta/info.json` is missing, damaged, of another version, or says things
    that cannot be."""
    path = meta_file(root, "info.json", "JSON", follow_links)
    info = read_json(path, _Json, remedy="it is not the info.json of a LeRobot set")
    version = f"v{str(info.codebase_version).strip().lstrip('vV')}"
    if version not in VERSIONS:
        raise DataError(
            f"{path}: codebase_version is {str(info.codebase_version)[:40]!r}; versions "
            f"{', '.join(VERSIONS)} are read. LeRobot converts older sets; newer ones need a newer "
            "version of this package"
        )
    chunks = 1000 if info.chunks_size is None else info.chunks_size
    if not 0 < info.fps <= _MAX_FPS:  # also catches NaN
        raise DataError(f"{path}: fps is {info.fps}; expected a rate of up to {_MAX_FPS:g}")
    if chunks < 1:
        raise DataError(f"{path}: chunks_size is {chunks}; expected at least 1")
    _check_shapes(path, info.features)
    return LeRobot(
        root=root,
        version=version,
        fps=info.fps,
        features=info.features,
        data_path=info.data_path,
        video_path=info.video_path,
        chunks_size=chunks,
        splits=info.splits or {},
        total_episodes=info.total_episodes,
        robot=info.robot_type or "",
        follow_links=follow_links,
    )


def _check_shapes(path: pathlib.Path, features: dict[str, Feature]) -> None:
    for name, feature in features.items():
        if feature.is_number and feature.width > MAX_WIDTH:
            raise DataError(
                f"{path}: features.{name[:80]}.shape is {str(feature.shape)[:80]}; expected at "
                f"most {MAX_WIDTH} numbers"
            )


def _flat_names(names: Any) -> list[str]:
    """Names in one list, from any of the shapes they are published in.

    ["x", "y"]; [["x", "y"]]; {"motors": ["x", "y"]}; {"left": ["x"], "right": ["x"]}, whose keys
    are put before names that would repeat; {"x": 0, "y": 1}. Anything else gives none.
    """
    if isinstance(names, dict):
        if names and all(type(place) is int for place in names.values()):
            return [name for name, place in sorted(names.items(), key=lambda entry: entry[1])]
        parts = {key: _flat_names(part) for key, part in names.items()}
        plain = [name for part in parts.values() for name in part]
        if len(set(plain)) == len(plain):
            return plain
        return [f"{key}_{name}" for key, part in parts.items() for name in part]
    if not isinstance(names, list):
        return []
    flat: list[str] = []
    for name in names:
        flat += _flat_names(name) if isinstance(name, (list, dict)) else [str(name)]
    return flat
