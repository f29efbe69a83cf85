"""How a command meets the terminal: one line for what a user can cause, exit codes, signals.

A reader that leaves early (`| head`) never ends the work, and text that the terminal cannot show is
written as escapes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from data_pipelines.errors import DataError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_GONE = (errno.EPIPE, errno.EIO)  # the reader, or the terminal


class Terminated(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt no Exception: nothing takes it for a fault."""


class Patient:
    """A text stream that never fails for its reader's sake. lossy: nor for any other reason."""

    def __init__(self, stream: Any, *, lossy: bool = False):
        self._stream, self._lossy = stream, lossy

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        with self._reader_may_leave():
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        with self._reader_may_leave():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _reader_may_leave(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What is buffered would fail again when the interpreter ends.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if not self._lossy and error.errno not in _GONE:
                raise DataError(f"cannot print the results ({error.strerror})") from error


def run_command(
    command: Callable[[], None], *, verbose: bool = False, after_interrupt: Callable[[], str] = str
) -> int:
    """Runs a command and returns its exit code.

    0; 1 after one line for a DataError (verbose: and the traceback); 130 after Ctrl-C and 143 after
    SIGTERM, with one line that ends in after_interrupt(). Other exceptions are faults of this code
    and come out as they are.
    """
    _occupy_closed()
    with (
        open(os.devnull, "w") as null,  # for streams that were closed
        contextlib.redirect_stdout(Patient(sys.stdout or null)) as out,
        # There is no place to complain about the standard error.
        contextlib.redirect_stderr(Patient(sys.stderr or null, lossy=True)),
        _sigterm(),
    ):
        try:
            command()
            out.flush()
            return 0
        except DataError as error:
            if verbose:
                traceback.print_exc()
            _say(f"error: {error}")
            return 1
        except (KeyboardInterrupt, Terminated) as interrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would tear the last words
            hint = after_interrupt()
            _say("\ninterrupted" + (f"; {hint}" if hint else ""))
            return 143 if isinstance(interrupt, Terminated) else 130


def _occupy_closed() -> None:
    """A closed standard stream would be given to the next file, and libraries print into that."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _say(text: str) -> None:
    """One line on standard error; what would break it, in names of files, becomes escapes."""
    start = "\n" if text.startswith("\n") else ""
    line = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text.removeprefix("\n")
    )
    print(start + line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _sigterm() -> Iterator[None]:
    def stop(number, frame):
        raise Terminated

    before = [signal.getsignal(number) for number in _SIGNALS]
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler or signal.SIG_DFL)
