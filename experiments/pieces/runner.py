"""Runs the commands of a sweep side by side, each once: a marker says which are finished.

A marker is good for one command, and for what went into what it reads. So a killed sweep goes on
with what is missing, more seeds or draws add to what is there, and a piece whose command has
changed runs again, in its own folder, where the command itself says whether that can be.
"""

import contextlib
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from experiments.pieces.piece import Piece, identities
from flexlam_jax.errors import Interrupted, UserError
from flexlam_jax.files import write_atomically
from flexlam_jax.typed_json import read_json

_LOOK = 0.1  # seconds between two looks at the processes
_LAST_LINES = 15  # of the output of one that failed
_STARTER = (sys.executable, "-m", "experiments.pieces.with_parent")


@dataclasses.dataclass(frozen=True)
class Marker:
    """identity: see `identities`. seconds: by the clock, beside others; cpu_seconds: of all cores."""

    identity: str
    command: list[str]
    seconds: float
    cpu_seconds: float


class Runner:
    """The state of a sweep's folder.

    Args:
      out: the folder.  jobs: processes at once.  say: takes lines for people.
    """

    def __init__(
        self, pieces: Sequence[Piece], out: Path, jobs: int, say: Callable[[str], None] = print
    ):
        self._pieces, self._out, self._jobs, self._say = pieces, out, jobs, say
        self._identities = identities(pieces, str(out))
        self.markers = {piece.name: found for piece in pieces if (found := self._marker(piece))}

    def finished(self) -> list[Piece]:
        """Pieces that need not run, in their order."""
        return [piece for piece in self._pieces if piece.name in self.markers]

    def run(self, wanted: Sequence[Piece], on_end: Callable[[Piece], None]) -> None:
        """Runs those of the wanted pieces that are not finished; `on_end` is told of each.

        Raises:
          UserError: a command failed; the message ends with what it said last. The others are asked
            to stop, and save what they have.
          Interrupted: this process was asked to stop.
        """
        waiting = [piece for piece in wanted if piece.name not in self.markers]
        running: dict[str, _Running] = {}
        with _stoppable():
            try:
                while waiting or running:
                    for piece in self._ready(waiting, len(running)):
                        waiting.remove(piece)
                        running[piece.name] = self._start(piece)
                    time.sleep(_LOOK)
                    for one in list(running.values()):
                        before = _cpu_seconds()
                        if one.process.poll() is not None:
                            del running[one.piece.name]
                            self._end(one, _cpu_seconds() - before)
                            on_end(one.piece)
            finally:
                for one in running.values():
                    one.process.terminate()
                for one in running.values():
                    one.process.wait()
                    one.log.close()

    def _ready(self, waiting: Sequence[Piece], running: int) -> list[Piece]:
        free = [piece for piece in waiting if all(name in self.markers for name in piece.reads)]
        return free[: max(0, self._jobs - running)]

    def _start(self, piece: Piece) -> "_Running":
        log = self._log(piece)
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = open(log, "wb")
        process = subprocess.Popen(
            [*_STARTER, str(os.getpid()), piece.module, *piece.flags],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
        self._say(f"{piece.name} ...")
        return _Running(piece, process, stream, time.monotonic())

    def _end(self, one: "_Running", cpu_seconds: float) -> None:
        one.log.close()
        piece, code = one.piece, one.process.returncode
        if code:
            log = self._log(piece)
            last = log.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:]
            raise UserError(
                f"{piece.name} failed (exit code {code}):\n  "
                + "\n  ".join([" ".join(["python -m", piece.module, *piece.flags]), *last])
                + f"\nAll that it said is in {log}. Once that is mended, the same command goes on."
            )
        seconds = time.monotonic() - one.start
        command = [piece.module, *piece.flags]
        marker = Marker(self._identities[piece.name], command, seconds, cpu_seconds)
        text = json.dumps(dataclasses.asdict(marker), indent=1) + "\n"
        write_atomically(self._marker_path(piece), text)
        self.markers[piece.name] = marker
        done = len(self.markers)
        self._say(f"{piece.name} took {seconds:.0f} s [{done}/{len(self._pieces)}]")

    def _marker(self, piece: Piece) -> Marker | None:
        path = self._marker_path(piece)
        if not path.exists():
            return None
        marker = read_json(path, Marker, remedy="remove it, and the piece runs again")
        return marker if marker.identity == self._identities[piece.name] else None

    def _marker_path(self, piece: Piece) -> Path:
        return self._out / "finished" / f"{piece.name}.json"

    def _log(self, piece: Piece) -> Path:
        return self._out / "logs" / f"{piece.name}.log"


@dataclasses.dataclass(frozen=True)
class _Running:
    piece: Piece
    process: subprocess.Popen
    log: IO[bytes]
    start: float


def seconds_by_stage(
    pieces: Sequence[Piece], markers: Mapping[str, Marker]
) -> dict[str, dict[str, float]]:
    """{stage: {"pieces", "seconds", "cpu_seconds"}} of all that is finished, in order."""
    stages: dict[str, dict[str, float]] = {}
    for piece in pieces:
        if piece.name in markers:
            fresh = {"pieces": 0, "seconds": 0.0, "cpu_seconds": 0.0}
            stage, marker = stages.setdefault(piece.stage, fresh), markers[piece.name]
            stage["pieces"] += 1
            stage["seconds"] += marker.seconds
            stage["cpu_seconds"] += marker.cpu_seconds
    return stages


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and Ctrl-C raise Interrupted here; the second one ends the process, see process.py."""

    def stop(number: int, frame: Any) -> None:
        raise Interrupted("stopped; the same command goes on")

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _cpu_seconds() -> float:
    """Of the processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    """Commands share an accelerator: none may take all of its memory."""
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
