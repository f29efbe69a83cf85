"""Paths that come out of somebody's files are data, not instructions."""

from __future__ import annotations

import pathlib
import re

from data_pipelines.errors import DataError
from data_pipelines.readers.recordings import ItemError


def source_folder(source: str) -> pathlib.Path:
    """The absolute folder of --source; raises DataError if there is none."""
    root = pathlib.Path(source).expanduser().absolute()
    if root.is_dir():
        return root
    if root.exists():
        raise DataError(f"--source {source}: is a file; give the folder that holds it")
    raise DataError(f"--source {source}: no such folder")


def inside(
    root: pathlib.Path, relative: str | pathlib.Path, *, follow_links: bool = True
) -> pathlib.Path:
    """`root / relative`, for a name read from a file of the source.

    Raises ItemError ('unsafe path') if it leaves `root`: absolute or through '..'; without
    `follow_links` also through a link.
    """
    path, pure = root / relative, pathlib.PurePath(relative)
    if pure.is_absolute() or ".." in pure.parts or "\0" in str(relative):
        raise ItemError("unsafe path", f"{relative}: lies outside {root}; the source names it")
    if not follow_links and not path.resolve().is_relative_to(root.resolve()):
        raise ItemError(
            "unsafe path",
            f"{relative}: a link out of {root}, not followed as --no-follow-links says",
        )
    return path


def natural(path: str | pathlib.Path) -> list:
    """Sort key that puts demo_2 before demo_10."""
    parts = re.split(r"(\d+)", str(path))
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
