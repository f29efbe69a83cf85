"""The index of a split, int32 (records, 4), checked when opened; see records.INDEX_COLUMNS."""

from __future__ import annotations

import pathlib
import tokenize

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.clips import INDEX_COLUMNS
from data_pipelines.format.manifest import AGAIN, regular_file
from data_pipelines.format.npy import SMALL, npy_shape
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.system_errors import system_error

_DTYPE = np.dtype("<i4")
_ROWS = 2**18  # checked at once


def read_index(file: pathlib.Path, spec: DatasetSpec, records: int) -> np.ndarray:
    """The index of a split with so many records. A large one stays on disk, memory-mapped.

    Raises DataError for a file that is no such array (told by its header, before anything is
    mapped), and for rows that no episode can have, so that no window leaves its record.
    """
    regular_file(file, "index")
    try:
        with open(file, "rb") as opened:
            shape = npy_shape(opened, _DTYPE)
            if shape != (records, len(INDEX_COLUMNS)):
                raise DataError(
                    f"{file}: index of shape {shape}, the shards hold {records} records; {AGAIN}"
                )
            if records * _DTYPE.itemsize * shape[1] <= SMALL:
                index = np.fromfile(opened, _DTYPE)
            else:
                # A plain view of the mapped file: indexing np.memmap itself is slow.
                index = np.asarray(np.memmap(opened, _DTYPE, "r", opened.tell()))
    except OSError as error:
        raise DataError(f"{file}: {system_error(error.strerror)}") from error
    except (ValueError, tokenize.TokenError) as error:  # the latter for a header that has no end
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: is no index ({error}); {AGAIN}") from error
    if index.size != records * len(INDEX_COLUMNS):
        raise DataError(f"{file}: is cut off or longer than its header says; {AGAIN}")
    index = index.reshape(records, len(INDEX_COLUMNS))
    for first in range(0, records, _ROWS):
        _check_rows(file, spec, index[first : first + _ROWS], first)
    return index


def _check_rows(file: pathlib.Path, spec: DatasetSpec, rows: np.ndarray, first: int) -> None:
    episode, start, length, total = rows.T.astype(np.int64)
    expected = np.minimum(spec.clip_stride + spec.max_span, total - start)
    good = (episode >= 0) & (start >= 0) & (length >= 2) & (length == expected)
    if not good.all():
        row = int(np.argmin(good))
        found = dict(zip(INDEX_COLUMNS, rows[row].tolist(), strict=True))
        raise DataError(
            f"{file}: row {first + row} is {found}: such records do not cover the episode, which "
            f"is cut every {spec.clip_stride} frames; {AGAIN}"
        )
