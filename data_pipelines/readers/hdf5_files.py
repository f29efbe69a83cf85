"""HDF5 files of strangers, opened so that they can name nothing outside themselves.

HDF5 can point at other files in three ways: an external link, a dataset whose bytes lie in an
external raw file, and a virtual dataset made of other datasets. All three are refused before
anything is followed. Links inside the file are fine.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipelines.optional import require
from data_pipelines.recordings import ItemError

MAX_ROWS = 1_000_000
MAX_CHUNK_BYTES = 1 << 28  # a chunk is unpacked as a whole, whatever part of it is asked for
BLOCK_BYTES = 1 << 23  # of frames read at a time


@contextlib.contextmanager
def open_hdf5(path: pathlib.Path) -> Iterator:
    """The open h5py.File.

    Raises ItemError 'unreadable' or 'unsafe path', also for damage that is found later in the
    `with` block.
    """
    h5py = require("h5py")
    try:
        with h5py.File(path, "r") as file:
            _refuse_foreign_links(h5py, file)
            yield file
    except (OSError, RuntimeError, KeyError) as error:  # h5py's errors for damaged files
        raise ItemError("unreadable", f"{path}: damaged or not an HDF5 file ({error})") from error


def _refuse_foreign_links(h5py, file) -> None:
    """Looks at every link without following one."""

    def foreign(name, link) -> str | None:  # h5py stops at the first value that is not None
        return None if isinstance(link, (h5py.HardLink, h5py.SoftLink)) else name

    name = file.visititems_links(foreign)
    if name is not None:
        target = getattr(file.get(name, getlink=True), "filename", "of an unknown kind")
        raise ItemError("unsafe path", f"{file.filename}: {name} is a link to a file ({target})")


def _dataset(group, name: str):
    """The dataset `name` below `group`, checked; None if there is none."""
    h5py = require("h5py")
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        return None
    where = f"{group.file.filename}: {found.name}"
    plan = found.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise ItemError("unsafe path", f"{where} keeps its values outside of this file")
    if not found.ndim or found.shape[0] > MAX_ROWS:
        raise ItemError("unreadable", f"{where} has shape {found.shape}; expected rows per step")
    if found.chunks and math.prod(found.chunks) * found.dtype.itemsize > MAX_CHUNK_BYTES:
        raise ItemError("unreadable", f"{where} has chunks of {found.chunks}: too large")
    return found


def subgroup(parent, name: str):
    """The group `name`; raises ItemError 'unreadable' if it is none."""
    h5py = require("h5py")
    if not isinstance(parent.get(name), h5py.Group):
        raise ItemError("unreadable", f"{parent.file.filename}: no group {parent.name}/{name}")
    return parent[name]


def has_dataset(group, name: str) -> bool:
    return _dataset(group, name) is not None


def row_count(group, name: str) -> int:
    """Rows of the dataset; 0 if there is none."""
    found = _dataset(group, name)
    return 0 if found is None else len(found)


def read_array(group, name: str, width: int | None = None) -> np.ndarray:
    """Float32 (T,) or, with `width`, (T, width); width -1 takes any.

    Raises ItemError if it is missing or of another shape.
    """
    found = _dataset(group, name)
    where = f"{group.file.filename}: {group.name}/{name}"
    if found is None:
        raise ItemError("missing labels", f"{where} does not exist")
    shape = "(T,)" if width is None else f"(T, {'any' if width == -1 else width})"
    fits = found.ndim == (1 if width is None else 2) and width in (None, -1, found.shape[-1])
    if found.dtype.kind not in "fiub" or not fits:
        raise ItemError(
            "wrong shape", f"{where} is {found.dtype} {found.shape}; expected numbers {shape}"
        )
    return found[:].astype(np.float32)


def frame_count(group, name: str) -> int:
    """Number of frames; raises ItemError 'no images' unless `name` is uint8 (T, H, W, 3)."""
    found = _dataset(group, name)
    where = f"{group.file.filename}: {group.name}/{name}"
    if found is None:
        raise ItemError("no images", f"{where} does not exist")
    if found.ndim != 4 or found.shape[-1] != 3 or found.dtype != np.uint8:
        raise ItemError(
            "no images", f"{where} is {found.dtype} {found.shape}; expected uint8 (T, H, W, 3)"
        )
    if math.prod(found.shape[1:]) > MAX_CHUNK_BYTES:
        raise ItemError("unreadable", f"{where}: frames of {found.shape[1:]} are too large")
    return len(found)


def iter_frames(path: pathlib.Path, group: str, name: str) -> Iterator[np.ndarray]:
    """Frames uint8 (H, W, 3) of dataset `group/name`, a few megabytes in memory at a time.

    Opens the file itself, so that several cameras can be read in any order.
    """
    with open_hdf5(path) as file:
        frame_count(file[group], name)
        found = _dataset(file[group], name)
        per_block = max(1, BLOCK_BYTES // max(1, math.prod(found.shape[1:])))
        if found.chunks:  # whole chunks, or each would be unpacked several times
            per_block = max(1, per_block // found.chunks[0]) * found.chunks[0]
        for start in range(0, len(found), per_block):
            yield from found[start : start + per_block]
