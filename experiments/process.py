"""How a binary is stopped and where it prints, set up before its imports, which take seconds.

The standard library only: nothing here may wait for another import.
"""

import contextlib
import errno
import io
import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

# EXIT_INTERRUPTED of flexlam_jax/parallel/signals.py, whose import takes seconds.
RESTART = 75
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_started = False


def start(*, restart: bool = False) -> None:
    """Takes over signals and standard streams; the second call of a process changes nothing.

    Ctrl-C and SIGTERM end the process at once, with one line, also while a compiler or another
    library holds the main thread. The training loop takes the first of them for itself (see
    flexlam_jax/parallel/signals.py); the second ends that too.

    A reader that leaves (`| head`) does not end the work, and text that the terminal cannot show is
    written as escapes.

    Args:
      restart: the exit code of a stopped process asks launchers to start it again; without, it is
        the shell's, 128 + the number of the signal.
    """
    global _started
    if _started:
        return
    _started = True
    # Python's helper that removes what reading processes left in shared memory warns that it does.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    for descriptor in (0, 1, 2):  # A closed one would be given to the next file that is opened.
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = patient(sys.stdout, 1), patient(sys.stderr, 2)
    received, sent = os.pipe()
    os.set_blocking(sent, False)
    signal.set_wakeup_fd(sent, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, _left_to_thread)
    os.register_at_fork(after_in_child=_forget)
    threading.Thread(target=_watch, args=(received, restart), daemon=True, name="signals").start()


class _Patient(io.FileIO):
    """A descriptor whose reader may be gone, or whose disk may be full: the work goes on."""

    lost = False  # Whether something is missing that somebody waits for.

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # EIO: the terminal is gone.
            if error.errno not in (errno.EPIPE, errno.EIO) and not _Patient.lost:
                _Patient.lost = True
                _tell(
                    f"error: what is printed cannot be written ({error.strerror}); the work goes "
                    "on without"
                )
            return len(data)


def lost_output() -> bool:
    """Whether something that was printed so far is missing, because it could not be written."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    return _Patient.lost


def _tell(message: str) -> None:
    """To stderr, past all buffers."""
    with contextlib.suppress(OSError):
        os.write(2, f"{message}\n".encode())


def patient(stream: Any, descriptor: int) -> io.TextIOWrapper:
    """A text stream on `descriptor`, buffered as `stream`, which never fails for its reader's sake."""
    buffered = io.BufferedWriter(_Patient(descriptor, "w", closefd=False))
    return io.TextIOWrapper(
        buffered,
        encoding=stream.encoding if stream else None,
        errors="backslashreplace",
        line_buffering=stream is not None and (stream.line_buffering or stream.write_through),
    )


def _left_to_thread(number: int, frame: Any) -> None:
    """Python runs handlers between two steps of the main thread, which may be minutes away."""


def _forget() -> None:
    """A forked child has no thread that watches."""
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _watch(received: int, restart: bool) -> None:
    asked = False
    while True:
        number = os.read(received, 1)[0]
        if number not in _SIGNALS:
            continue
        taken = signal.getsignal(number) is not _left_to_thread
        if taken and not asked:
            asked = True
            continue
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        end(
            RESTART if restart else 128 + number,
            f"stopped by {name}"
            + ("; the same command continues from the last checkpoint" if restart else ""),
        )


def end(code: int, message: str) -> None:
    """Says `message` and ends this process now: threads of libraries outlive no interpreter."""
    _tell(f"\n{message}")
    for child in multiprocessing.active_children():
        _kill(child.pid)
    leaving = threading.Thread(target=_leave, args=(code, message), daemon=True)
    leaving.start()
    leaving.join(10)  # Whoever reads the output, or the other processes of a run, may not answer.
    os._exit(code)


def _kill(pid: int) -> None:
    """A child; one that leads a group with what it started: engines of simulators outlive it."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, signal.SIGKILL)


def _leave(code: int, message: str) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    distributed = sys.modules.get("flexlam_jax.parallel.distributed")
    if distributed is not None:
        distributed.leave(code, message)
