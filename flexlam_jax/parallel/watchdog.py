"""Ends a run that hangs, or whose other processes are gone, so that it can be started again."""

import faulthandler
import logging
import os
import sys
import threading
import time
from typing import Any

from flexlam_jax.parallel import distributed

_log = logging.getLogger(__name__)

EXIT_HUNG = 76
DEFAULT_SECONDS = 900
# Compilation, evaluation and checkpoints may take this many times as long as a step.
SLOW = 4.0
_POLL = 2.0  # seconds; longer in large runs, since one service answers all processes


class Watchdog:
    """A daemon thread. `beat` says that the run lives; a context manager.

    When `seconds` (times `patience`) pass without a beat, the stacks of all threads go to stderr
    and the process ends with exit code 76. A debugger stops the clock. With several processes it
    also looks whether one of the others said that it stopped, and then ends this one with 77: a
    collective on a device would otherwise wait for it forever.
    """

    def __init__(self, seconds: float, *, poll: float = _POLL):
        """Args: `seconds` without a step until the run counts as hung; 0 never."""
        self._seconds = seconds
        self._poll = poll * max(1.0, distributed.process_count() / 64)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.beat("starting", SLOW)

    def __enter__(self) -> "Watchdog":
        if self._seconds or distributed.process_count() > 1:
            self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")
            self._thread.start()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def beat(self, doing: str, patience: float = 1.0) -> None:
        """Starts the clock anew. `doing` is what comes next, as "step 12"."""
        self._state = (time.monotonic(), doing, patience)

    def _watch(self) -> None:
        while not self._stop.wait(min(self._poll, self._seconds / 4 or self._poll)):
            lost = _lost()
            if lost:
                # The main thread may be about to say the same, or something better.
                if not self._stop.wait(self._poll):
                    _end(distributed.EXIT_LOST, f"{lost}; stopping too")
            began, doing, patience = self._state
            if _debugging():
                self.beat(doing, patience)
            elif self._seconds and time.monotonic() - began > self._seconds * patience:
                faulthandler.dump_traceback(all_threads=True)
                _end(
                    EXIT_HUNG,
                    f"watchdog: no progress for {self._seconds * patience:.0f} s "
                    f"during {doing} (config.watchdog_seconds={self._seconds:g}); the "
                    "stacks of all threads are above. The same command continues from "
                    "the last checkpoint.",
                )


def _lost() -> str | None:
    try:
        return distributed.lost_process()
    except Exception as error:  # The service is going down; JAX deals with that itself.
        _log.debug("watchdog cannot ask the coordination service: %s", error)
        return None


def _end(code: int, message: str) -> None:
    print(f"{message} (exit code {code})", file=sys.stderr, flush=True)
    distributed.leave(code, message)
    os._exit(code)


def _debugging() -> bool:
    """Whether any thread is under a debugger: pdb and friends set a trace function."""
    for frame in sys._current_frames().values():
        while frame is not None:
            if frame.f_trace is not None:
                return True
            frame = frame.f_back
    monitoring = getattr(sys, "monitoring", None)  # debugpy, on Python >= 3.12
    return bool(monitoring and monitoring.get_tool(monitoring.DEBUGGER_ID))
