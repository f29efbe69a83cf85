"""Plain .npy files: their header told and checked before anything of them is read or mapped."""

from __future__ import annotations

import pathlib
import tokenize
from typing import BinaryIO

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.system_errors import system_error

SMALL = 2**20  # bytes; a mapped file keeps one more file open


def npy_shape(opened: BinaryIO, dtype: np.dtype) -> tuple[int, ...]:
    """Shape of a .npy file, read up to its data; ValueError if it is no array of rows of `dtype`."""
    version = np.lib.format.read_magic(opened)
    if version != (1, 0):  # what np.save writes for so short a header
        raise ValueError(f"format {version}")
    shape, fortran_order, found = np.lib.format.read_array_header_1_0(opened)
    if found != dtype or fortran_order:
        raise ValueError(f"an array of {found}, expected {dtype} row by row")
    return shape


def map_npy(
    file: pathlib.Path, dtype: np.dtype, shape: tuple[int, ...], *, what: str, remedy: str
) -> np.ndarray:
    """The array of a .npy file, read only. A large one stays on disk, memory-mapped.

    Raises DataError for a file that is missing, or no such array, or cut off.
    """
    try:
        with open(file, "rb") as opened:
            found = npy_shape(opened, dtype)
            if found != shape:
                raise ValueError(f"of shape {found}, expected {shape}")
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            if file.stat().st_size != opened.tell() + size:
                raise ValueError("cut off, or longer than its header says")
            if size <= SMALL:
                array = np.fromfile(opened, dtype).reshape(shape)
                array.flags.writeable = False
                return array
            # A plain view of the mapped file: indexing np.memmap itself is slow.
            return np.asarray(np.memmap(opened, dtype, "r", opened.tell(), shape))
    except FileNotFoundError:
        raise DataError(f"{file}: {what} is missing; {remedy}") from None
    except OSError as error:
        raise DataError(f"{file}: {system_error(error.strerror)}") from error
    except (ValueError, tokenize.TokenError) as error:  # the latter for a header that has no end
        raise DataError(f"{file}: {what} is damaged ({error}); {remedy}") from error
