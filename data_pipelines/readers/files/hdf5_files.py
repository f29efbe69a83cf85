"""HDF5 files of strangers, opened so that they can name nothing outside themselves.

HDF5 can point at other files in three ways: an external link, a dataset whose bytes lie in an
external raw file, and a virtual dataset made of other datasets. All three are refused before
anything is followed. Links inside the file are fine. Frames that were declared but never written
(by a recorder that was killed) would read as black, and are refused too.
"""

from __future__ import annotations

import contextlib
import errno
import math
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.optional import require
from data_pipelines.readers.files import opening
from data_pipelines.readers.files.paths import natural
from data_pipelines.readers.recordings import ItemError

SUFFIXES = (".hdf5", ".h5")

MAX_ROWS = 1_000_000
MAX_WIDTH = 10_000  # numbers of a row
MAX_CHUNK_BYTES = 1 << 28  # a chunk is unpacked as a whole, whatever part of it is asked for
MAX_ARRAY_BYTES = 1 << 30  # of labels, which are read as a whole
MAX_TEXT_BYTES = 1 << 22  # of an attribute
BLOCK_BYTES = 1 << 23  # of frames read at a time


@contextlib.contextmanager
def open_hdf5(path: pathlib.Path) -> Iterator:
    """The open h5py.File.

    Raises ItemError 'unsafe path', or as opening.unreadable words it ('locked', 'git-lfs pointer',
    'unreadable', ...), also for damage that is found later in the `with` block.
    """
    h5py = require("h5py")
    try:
        with _open(h5py, path) as file:
            _refuse_foreign_links(h5py, file)
            yield file
    except DataError:
        raise
    # h5py's errors for damaged files, and for types that NumPy does not have
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise opening.unreadable(path, error, "an HDF5 file") from error


def _open(h5py, path: pathlib.Path):
    try:
        return h5py.File(path, "r")
    except OSError as error:
        # Some network file systems have no locks at all, so no writer can hold one either. A lock
        # that somebody holds is another error, and is respected.
        without = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
        if "unable to lock file" in str(error) and error.errno in without:
            return h5py.File(path, "r", locking=False)
        raise


def _refuse_foreign_links(h5py, file) -> None:
    """Looks at every link without following one."""
    inner = (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT)

    def foreign(name: bytes, info) -> bytes | None:  # the visit ends at a value that is not None
        return None if info.type in inner else name

    # Not visititems_links: it looks names up again, and breaks at those that are not UTF-8.
    name = file.id.links.visit(foreign, info=True)
    if name is not None:
        known = file.id.links.get_info(name).type == h5py.h5l.TYPE_EXTERNAL
        target = file.id.links.get_val(name)[0] if known else b"of an unknown kind"
        texts = [text.decode("utf-8", "replace") for text in (name, target)]
        detail = f"{file.filename}: {texts[0]} is a link to a file ({texts[1]})"
        raise ItemError("unsafe path", detail)


def _member(group, name: str):
    """What the name stands for, None for nothing; raises ItemError for a link that leads nowhere
    sensible, so that it costs no more than what it is part of."""
    try:
        return group.get(name)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ItemError("unreadable", f"{_where(group, name)}: {error}") from error


def _where(group, name: str) -> str:
    return f"{group.file.filename}: {group.name.rstrip('/')}/{name}"


def member_names(group: Any) -> list[str]:
    """Names in a group; those that are not UTF-8 as Python writes bytes."""
    return [str(name) for name in group]


def _dataset(group, name: str):
    """The dataset `name` below `group`, checked; None if there is none."""
    h5py = require("h5py")
    found = _member(group, name)
    if not isinstance(found, h5py.Dataset):
        return None
    where = f"{group.file.filename}: {found.name}"
    plan = found.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise ItemError("unsafe path", f"{where} keeps its values outside of this file")
    if not found.ndim or found.shape[0] > MAX_ROWS:
        raise ItemError("unreadable", f"{where} has shape {found.shape}; expected rows per step")
    if found.chunks and math.prod(found.chunks) * found.dtype.itemsize > MAX_CHUNK_BYTES:
        raise ItemError("too large", f"{where} has chunks of {found.chunks}")
    return found


def _check_written(found, where: str) -> None:
    """Raises ItemError unless every part of the dataset is in the file."""
    if not found.size:
        return
    if found.chunks:
        sides = zip(found.shape, found.chunks, strict=True)
        parts = math.prod(-(-side // chunk) for side, chunk in sides)
        there = found.id.get_num_chunks()
    else:
        parts, there = 1, int(found.id.get_storage_size() > 0)
    if there < parts:
        raise ItemError(
            "incomplete",
            f"{where}: {there} of its {parts} parts were written; record or copy it again",
        )


def subgroup(parent: Any, name: str) -> Any:
    """The group `name`; raises ItemError 'unreadable' if it is none."""
    h5py = require("h5py")
    found = _member(parent, name)
    if not isinstance(found, h5py.Group):
        raise ItemError("unreadable", f"{_where(parent, name)} is no group")
    return found


def demo_names(data: Any) -> list[str]:
    """Names of the groups demo_N of the group `data`, by number; raises ItemError without any."""
    names = [name for name in member_names(data) if re.fullmatch(r"demo_[0-9]+", name)]
    if not names:
        raise ItemError("unreadable", f"{data.file.filename}: no groups data/demo_N")
    return sorted(names, key=natural)


def demo_sizes(data: Any, demos: Sequence[str], name: str) -> list[int]:
    """Rows of the dataset `name` of each demo, at least 1; 1 where it cannot be told, which is told
    where that demo is read. Raises ItemError 'unsafe path'."""
    sizes = []
    for demo in demos:
        try:
            sizes.append(max(1, row_count(data, f"{demo}/{name}")))
        except ItemError as error:
            if error.reason == "unsafe path":
                raise
            sizes.append(1)
    return sizes


def has_dataset(group: Any, name: str) -> bool:
    return _dataset(group, name) is not None


def row_count(group: Any, name: str) -> int:
    """Rows of the dataset; 0 if there is none."""
    found = _dataset(group, name)
    return 0 if found is None else len(found)


def row_width(group: Any, name: str) -> int:
    """Numbers per row of the dataset (T, width); raises ItemError if there is no such dataset."""
    found = _dataset(group, name)
    if found is None or found.ndim != 2 or not 0 < found.shape[1] <= MAX_WIDTH:
        shape = "no dataset" if found is None else found.shape
        raise ItemError(
            "missing labels",
            f"{_where(group, name)} is {shape}; expected (T, width). There are: "
            f"{', '.join(_beside(group, name)) or 'none'}",
        )
    return found.shape[1]


def read_texts(group: Any, name: str) -> list[str]:
    """The texts of a dataset (N,); [] if there is none. Raises ItemError for other values."""
    found = _dataset(group, name)
    if found is None:
        return []
    where = _where(group, name)
    if found.ndim != 1 or found.dtype.kind not in "SO" or found.nbytes > MAX_ARRAY_BYTES:
        detail = f"{where} is {found.dtype} {found.shape}; expected texts (N,)"
        raise ItemError("wrong shape", detail)
    values = [value for value in found[:] if isinstance(value, bytes)]
    return [value.decode("utf-8", "replace") for value in values]


def read_array(group: Any, name: str, width: int | None = None) -> np.ndarray:
    """Float32 (T,) or, with `width`, (T, width); width -1 takes any.

    Raises ItemError if it is missing or of another shape.
    """
    found = _dataset(group, name)
    where = _where(group, name)
    if found is None:
        raise ItemError("missing labels", f"{where} does not exist")
    shape = "(T,)" if width is None else f"(T, {'any' if width == -1 else width})"
    fits = found.ndim == (1 if width is None else 2) and width in (None, -1, found.shape[-1])
    if found.dtype.kind not in "fiub" or not fits:
        raise ItemError(
            "wrong shape", f"{where} is {found.dtype} {found.shape}; expected numbers {shape}"
        )
    if found.size * found.dtype.itemsize > MAX_ARRAY_BYTES:
        raise ItemError("too large", f"{where} is {found.dtype} {found.shape}")
    return found[:].astype(np.float32)


def text_attribute(group: Any, name: str) -> str:
    """The attribute as text, '' if it is none; bytes that are not UTF-8 are replaced.

    Raises ItemError 'too large'.
    """
    if name not in group.attrs:
        return ""
    size = group.attrs.get_id(name).get_storage_size()
    value = group.attrs[name] if size <= MAX_TEXT_BYTES else None
    if value is None or (isinstance(value, (str, bytes)) and len(value) > MAX_TEXT_BYTES):
        raise ItemError("too large", f"{group.file.filename}: attribute {name} of {group.name}")
    if isinstance(value, str):  # h5py keeps foreign bytes as surrogates
        value = value.encode("utf-8", "surrogateescape")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def picture_names(group: Any) -> list[str]:
    """Names of the datasets of `group` that look like frames: uint8 (T, H, W, 3)."""
    h5py = require("h5py")
    found = []
    for name in member_names(group):
        entry = _member(group, name)
        if isinstance(entry, h5py.Dataset) and entry.ndim == 4 and entry.dtype == np.uint8:
            found += [name] if entry.shape[-1] == 3 else []
    return found


def frame_count(group: Any, name: str) -> int:
    """Number of frames; raises ItemError 'no images' unless `name` is uint8 (T, H, W, 3)."""
    found = _dataset(group, name)
    where = _where(group, name)
    if found is None:
        raise ItemError("no images", f"{where} does not exist; {_pictures_there(group, name)}")
    if found.ndim != 4 or found.shape[-1] != 3 or found.dtype != np.uint8:
        raise ItemError(
            "no images", f"{where} is {found.dtype} {found.shape}; expected uint8 (T, H, W, 3)"
        )
    if math.prod(found.shape[1:]) > MAX_CHUNK_BYTES:
        raise ItemError("too large", f"{where}: frames of {found.shape[1:]}")
    _check_written(found, where)
    return len(found)


def _pictures_there(group, name: str) -> str:
    """What pictures lie where dataset `name` was looked for."""
    h5py = require("h5py")
    parent = _parent(group, name)
    names = picture_names(parent) if isinstance(parent, h5py.Group) else []
    return f"pictures there: {', '.join(names) or 'none'}"


def _parent(group, name: str):
    """What dataset `name` below `group` would lie in; None for nothing."""
    return _member(group, name.rpartition("/")[0]) if "/" in name else group


def _beside(group, name: str) -> list[str]:
    """Names of what lies where dataset `name` was looked for."""
    h5py = require("h5py")
    parent = _parent(group, name)
    return member_names(parent) if isinstance(parent, h5py.Group) else []


def iter_frames(
    path: pathlib.Path, group: str, name: str, *, first: int = 0
) -> Iterator[np.ndarray]:
    """Frames uint8 (H, W, 3) of dataset `group/name`, a few megabytes in memory at a time.

    first: where to begin, counted from the end if negative. Opens the file itself, so that several
    cameras can be read in any order.
    """
    with open_hdf5(path) as file:
        frame_count(file[group], name)
        found = _dataset(file[group], name)
        per_block = max(1, BLOCK_BYTES // max(1, math.prod(found.shape[1:])))
        if found.chunks:  # whole chunks, or each would be unpacked several times
            per_block = max(1, per_block // found.chunks[0]) * found.chunks[0]
        for start in range(*slice(first, None).indices(len(found))[:2], per_block):
            yield from found[start : start + per_block]
