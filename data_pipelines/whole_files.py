"""Files that appear under their name complete, or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

UNFINISHED = "writing-"  # what the names of files in a scratch folder begin with


@contextlib.contextmanager
def whole_file(
    path: str | os.PathLike, *, scratch: pathlib.Path | None = None, durable: bool = False
) -> Iterator[pathlib.Path]:
    """A new, empty file to write; it takes the place of `path` when the block ends without error.

    Every call has a file of its own, so that several processes may write one `path`: the last one
    stands. After an error nothing is left.

    Args:
      scratch: folder of the unfinished file, on the file system of `path`; by default its own.
      durable: the content is on the disk before the name is.

    Raises:
      OSError: it cannot be written.
    """
    path = pathlib.Path(path)
    prefix = UNFINISHED if scratch else f".{path.name}-"
    handle, name = tempfile.mkstemp(dir=scratch or path.parent, prefix=prefix)
    os.close(handle)
    try:
        yield pathlib.Path(name)
        os.chmod(name, 0o644)
        if durable:
            with open(name, "rb") as file:
                os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
