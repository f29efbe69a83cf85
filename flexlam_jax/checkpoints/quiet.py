"""Libraries tell an error in hundreds of lines; where we tell it in one, they are silent."""

import contextlib
import functools
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

# The packages whose records are dropped, by the folder of the file that made them.
_LIBRARIES = ("/orbax/", "/tensorstore/", "/etils/", "/asyncio/", "/concurrent/futures/")
_LOGGERS = ("absl", "asyncio", "concurrent.futures", "orbax")


class _Ours(logging.Filter):
    """Lets through what none of the libraries says."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not any(library in record.pathname for library in _LIBRARIES)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drops what checkpoint libraries log, also on their threads, while it is open.

    For code that turns their exceptions into messages of its own; those still arrive.
    """
    ours, loggers = _Ours(), [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(ours)
    # For good: threads of Tensorstore answer the event loop that an error closed when they get to
    # it.
    threading.excepthook = _untold(threading.excepthook)
    sys.unraisablehook = _untold(sys.unraisablehook)
    warnings.filterwarnings("ignore", r"coroutine '_read_array", RuntimeWarning)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(ours)


def _untold(otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A hook for exceptions that nobody can catch: those of libraries are dropped."""
    if getattr(otherwise, "func", None) is _drop:
        return otherwise
    return functools.partial(_drop, otherwise)


def _drop(otherwise: Callable[[Any], None], args: Any) -> None:
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(args.exc_traceback)]
    if not any(library in file for library in _LIBRARIES for file in files):
        otherwise(args)
