"""What is said where the system does not hand over a file: nothing about the file's content."""

from __future__ import annotations

import errno
import os
import resource

_TOO_MANY = (os.strerror(errno.EMFILE), os.strerror(errno.ENFILE))


def too_many_files(reason: str | None) -> bool:
    """Whether the system's words say that too many files are open."""
    return reason in _TOO_MANY


def system_error(reason: str | None) -> str:
    """What happened and the remedy, for the system's words (`OSError.strerror`)."""
    if too_many_files(reason):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return (
            f"cannot be opened now ({reason}, this process may have {limit}); the data is whole: "
            "raise the limit with `ulimit -n`"
        )
    return (
        f"cannot be read from its disk ({reason}); what it holds may be whole: look after the "
        "disk, the mount or the permissions, then run this again"
    )
