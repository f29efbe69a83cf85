"""Writing files so that whoever reads them sees the old content or the new, never a part."""

import contextlib
import errno
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from etils import epath

from flexlam_jax.errors import UserError

# What the storage answers, whatever the program does.
_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)

Content = str | bytes | Callable[[BinaryIO], Any]


def write_atomically(path: Any, content: Content) -> None:
    """Writes beside `path`, makes that durable, and renames: a kill leaves the old file or the new.

    Args:
      path: local, or on a bucket, where an object appears whole or not at all. Folders are made.
      content: text (UTF-8), bytes, or a function that writes to the binary stream it is given.

    Raises:
      UserError: it cannot be written; nothing half-written stays.
    """
    try:
        if "://" in str(path):
            stream = io.BytesIO()
            _fill(stream, content)
            epath.Path(path).write_bytes(stream.getvalue())
        else:
            _write_local(Path(path), content)
    except OSError as error:
        raise cannot_write(path, error) from error


def reachable(path: Any, kind: type[UserError] = UserError) -> epath.Path:
    """The path, if this machine can look there at all.

    Raises:
      `kind`: a URL of a storage that is unknown, or for which no library is installed.
    """
    try:
        found = epath.Path(path)
        found.exists()
    except KeyError as error:
        raise kind(
            f"{path}: {error} is no storage that is known; give a local path, or a URL with "
            "gs:// or s3://"
        ) from error
    except (ImportError, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise kind(f"{path} cannot be reached: {why}") from error
    return found


def json_object(file: epath.Path) -> dict[str, Any]:
    """The JSON object in a file, {} for what is missing or none: for asking what lies there."""
    try:
        value = json.loads(file.read_bytes()) if file.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def writing_to(path: Any) -> Iterator[None]:
    """Tells an OSError of the block as what it is: `path` cannot be written (UserError)."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(
    path: Any,
    error: Exception,
    *,
    kind: type[UserError] = UserError,
    what: str = "",
    remedy: str = "",
) -> UserError:
    """What every failure to write is told as: what could not be written, why, how much is free.

    Args:
      error: of the system, or of a library that had one of the system's.
      what: that is written to `path`; "" is the file itself.
      remedy: ends the sentence that begins with "Mend the storage".
    """
    full = storage_error(error)
    cause = full or error
    why = getattr(cause, "strerror", None) or str(cause).strip().split("\n")[0][:200]
    file = getattr(cause, "filename", None)
    if file and str(file) != str(path):
        why += f": {file}"
    free = _free(path) if full else None
    room = "" if free is None else f" ({free / 2**20:.1f} MiB are free there)"
    return kind(
        f"cannot write {what and what + ' to '}{path}: {why}. Mend the storage{room}"
        f"{remedy or ' or give another folder.'}"
    )


def storage_error(error: BaseException | None) -> OSError | None:
    """The error of the storage that is, or is behind, `error`; None where there is none.

    Libraries in C++ pass on its text only.
    """
    text = str(error)
    while error is not None:
        if isinstance(error, OSError) and error.errno in _STORAGE:
            return error
        error = error.__cause__ or error.__context__
    for number in _STORAGE:
        if os.strerror(number) in text:
            return OSError(number, os.strerror(number))
    return None


def _free(path: Any) -> int | None:
    """Bytes that a user may still write where `path` lies; None for a bucket."""
    if "://" in str(path):
        return None
    try:
        place = Path(path).absolute()
        while not place.exists() and place != place.parent:
            place = place.parent
        return shutil.disk_usage(place).free
    except OSError:
        return None


def _write_local(path: Path, content: Content) -> None:
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(partial, "wb") as stream:
            _fill(stream, content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _fill(stream: BinaryIO, content: Content) -> None:
    if callable(content):
        content(stream)
    else:
        stream.write(content.encode() if isinstance(content, str) else content)
