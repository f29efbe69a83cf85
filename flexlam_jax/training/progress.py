"""A bar with ETA on a terminal; elsewhere a plain line now and then, fit for log files."""

import sys
import time
from typing import Any


class Progress:
    """Shows `step` of `total`. Context manager."""

    def __init__(
        self,
        total: int,
        start: int = 0,
        name: str = "train",
        *,
        seconds_between_lines: float = 10.0,
        stream: Any = None,
    ):
        self._total, self._start, self._name = total, start, name
        self._step = start
        self._stream = stream or sys.stderr
        self._between = seconds_between_lines
        self._began: float | None = None
        self._text = ""
        self._bar = None
        if self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                initial=start,
                desc=name,
                unit="step",
                file=self._stream,
                dynamic_ncols=True,
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._began is not None:
            self._line()

    def update(self, step: int, text: str | None = None) -> None:
        """`text` (loss, speed) stays until the next one."""
        if text is not None:
            self._text = text
        if self._began is None:  # The first step was compilation; it says nothing of the rest.
            self._start, self._began = step, time.monotonic()
            self._last_line = self._began
        if self._bar is not None:
            self._bar.set_postfix_str(self._text, refresh=False)
            self._bar.update(step - self._step)
        self._step = step
        if self._bar is None and time.monotonic() - self._last_line >= self._between:
            self._line()

    def _line(self) -> None:
        self._last_line = time.monotonic()
        done = self._step - self._start
        left = (self._total - self._step) * (self._last_line - self._began) / max(done, 1)
        print(
            f"{self._name}: step {self._step}/{self._total}  {self._text}  {_clock(left)} left",
            file=self._stream,
            flush=True,
        )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
