"""Writing files so that whoever reads them sees the old content or the new, never a part."""

from collections.abc import Callable
import io
import os
from pathlib import Path
from typing import Any, BinaryIO

from etils import epath

from flexlam_jax.errors import UserError

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


def cannot_write(path: Any, error: OSError) -> UserError:
    """What every failure to write is told as."""
    where = f": {error.filename}" if error.filename else ""
    return UserError(f"cannot write {path} ({error.strerror or error}{where}); mend the storage or "
                     "give another folder")


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
