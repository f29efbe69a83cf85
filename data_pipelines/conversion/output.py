"""Errors of the storage that a build writes to. They end the job and are no item's fault."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from data_pipelines.errors import DataError


class OutputError(DataError):
    """Something could not be written: a full or broken disk, a quota, a missing permission."""


@contextlib.contextmanager
def writing(path: str | os.PathLike, *library_errors: type[Exception]) -> Iterator[None]:
    """Turns an OSError of the block, and `library_errors`, into an OutputError about `path`."""
    try:
        yield
    except (OSError, *library_errors) as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str | os.PathLike, error: Exception) -> OutputError:
    """What every failure to write is told as: what, why, and how much room is there."""
    said = getattr(error, "strerror", None) or str(error).partition(";")[0]
    reason = said or type(error).__name__
    return OutputError(f"cannot write {path} ({reason}); {_free(pathlib.Path(path))}")


def _free(path: pathlib.Path) -> str:
    for folder in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free there"
    return "the free space there is unknown"
