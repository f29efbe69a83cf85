"""SIGTERM and SIGINT ask the loop to save and leave; a second one kills as usual."""

import os
import signal
import threading
from typing import Any

import jax
from jax.experimental import multihost_utils

# sysexits.h EX_TEMPFAIL, "try again": the run saved itself and the same command continues it.
# Launchers tell it from 0 (finished) and 1 (an error that a restart will not mend).
EXIT_INTERRUPTED = 75


class StopSignals:
    """Context manager; `requested(step)` turns true once the process was asked to stop.

    With several processes the answer comes from JAX's preemption sync point: SIGTERM may reach only
    some of them, and all must stop after the same step. It looks for the signal once a second.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        numbers = (signal.SIGTERM, signal.SIGINT)
        if threading.current_thread() is not threading.main_thread():
            numbers = ()  # Python delivers signals to the main thread only.
        elif jax.process_count() > 1:
            numbers = (signal.SIGINT,)  # JAX's preemption service listens for SIGTERM itself.
        for number in numbers:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc_info: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        if self._received is not None:
            for other, handler in self._previous.items():
                signal.signal(other, handler)
            signal.raise_signal(number)
            return
        # Stays in place: whoever sees the first signal from another thread must find it taken.
        self._received = number
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def requested(self, step: int) -> bool:
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._received is not None
