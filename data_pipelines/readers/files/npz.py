"""npz files of strangers: sizes are judged before arrays are unpacked, and nothing is unpickled."""

from __future__ import annotations

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from data_pipelines.readers.files.opening import fault, unreadable
from data_pipelines.readers.recordings import ItemError

MAX_BYTES = 1 << 31  # of all arrays that are asked for: they are unpacked as a whole
_SUFFIX = ".npy"
_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    SyntaxError,
    TypeError,
    KeyError,
    RuntimeError,  # encrypted
    NotImplementedError,  # a compression that zipfile does not have
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def array_names(path: str | os.PathLike) -> list[str]:
    """The arrays in the file; raises ItemError as opening.unreadable words it."""
    found = fault(path, "an npz file")
    if found is not None:
        raise found
    try:
        with zipfile.ZipFile(path) as archive:
            return [n.removesuffix(_SUFFIX) for n in archive.namelist() if n.endswith(_SUFFIX)]
    except _ERRORS as error:
        raise unreadable(path, error, "an npz file") from error


def read_npz(
    path: str | os.PathLike, keep: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
    """The arrays whose names `keep` wants.

    Raises ItemError: 'too large'; 'pickled' for an array of Python objects; or as
    opening.unreadable words it.
    """
    names = [name for name in dict.fromkeys(array_names(path)) if keep(name)]
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(archive.getinfo(name + _SUFFIX).file_size for name in names)
            if size > MAX_BYTES:
                raise ItemError("too large", f"{path}: {size} bytes unpacked, at most {MAX_BYTES}")
            return {name: _array(archive, name, path) for name in names}
    except ItemError:
        raise
    except _ERRORS as error:
        raise unreadable(path, error, "an npz file") from error


def _array(archive: zipfile.ZipFile, name: str, path: str | os.PathLike) -> np.ndarray:
    """Its header is read first: NumPy would ask for as much memory as that says."""
    entry = archive.getinfo(name + _SUFFIX)
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        first = version == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise ItemError("pickled", f"{path}: {name} holds Python objects, never unpacked")
        size = math.prod(shape) * dtype.itemsize
        if size > entry.file_size:
            raise ItemError("too large", f"{path}: {name} says it has {size} bytes, and has not")
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
