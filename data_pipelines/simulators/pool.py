"""Many episodes at once: simulators in worker processes that go on in lock step.

    with SimulatorPool(Doom, slots=24, workers=2) as pool:
        pool.advance({0: ("my_way_home", 7), 1: ("my_way_home", 8)}, {})
        pool.frames[:2]                                       # their first pictures
        moments = pool.advance({}, {0: action, 1: action})    # rewards and ends

A slot holds one episode at a time. Slots are dealt to workers in turn, and what happens in one is a
function of (task, seed, actions), so that the number of workers changes nothing but the speed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.processes import end_worker, undisturbed
from data_pipelines.simulators.behaviours import BEHAVIOURS
from data_pipelines.simulators.pool_worker import Moment, Setup, serve, views_of
from data_pipelines.simulators.simulator import Simulator, find_task

PATIENCE = 300.0  # seconds; an engine that starts on a busy machine takes a while
CRASHES = 5  # of a worker in a row, without an episode that ended in between
_SPAWN = multiprocessing.get_context("spawn")
_LOOK = 1.0  # seconds between two looks whether a worker lives
_GRACE = 5.0  # seconds for a worker to close its simulators


class SimulatorPool:
    """`slots` simulators of one class in `workers` processes; a context manager.

    Where a simulator raises, its episode is lost and its slot gets a new one. Where a worker is
    killed, or one of its simulators hangs, all its episodes are lost and it is started again.

    Attributes:
      slots: how many episodes run at once.
      views: camera -> uint8 (slots, S, S, 3), the present pictures, overwritten by `advance`.
      frames: those of the first camera that is shown.
      patience: seconds that a simulator may take for one step or one start.
    """

    def __init__(
        self,
        simulator: type[Simulator],
        *,
        slots: int = 24,
        workers: int = 2,
        size: int = 64,
        camera: str | Sequence[str] = "",
        behaviour: str = "",
        patience: float = PATIENCE,
        asks: bool = False,
    ):
        """workers: as many as slots for simulators that need a process each. camera: that is shown,
        or several; "" is the simulator's first. behaviour: of `BEHAVIOURS`, that plays where an
        action is None. asks: whether moments tell state, language and success.

        Raises DataError for numbers below 1, a camera and a behaviour that do not exist.
        """
        if min(slots, workers, size) < 1:
            raise DataError(
                f"a pool of {slots} slots, {workers} workers, size {size}: all are >= 1"
            )
        if behaviour and behaviour not in BEHAVIOURS:
            raise DataError(f"unknown behaviour {behaviour!r}; known: {', '.join(BEHAVIOURS)}")
        cameras = (camera,) if isinstance(camera, str) else tuple(camera)
        cameras = tuple(dict.fromkeys(filter(None, cameras))) or simulator.cameras[:1]
        for one in cameras:
            if one not in simulator.cameras:
                raise DataError(
                    f"{simulator.__name__} has no camera {one!r}; cameras: "
                    f"{', '.join(simulator.cameras)}"
                )
        if simulator.one_task_per_process:  # nor does it survive another one beside it
            workers = slots
        self.slots, self.patience, self._simulator = slots, patience, simulator
        setup = Setup(simulator, size, cameras, behaviour, asks)
        shared = _SPAWN.RawArray("B", len(cameras) * slots * size * size * 3)
        self.views = views_of(setup, shared)
        self.frames = self.views[cameras[0]]
        self._workers = [
            _Worker(setup, shared, range(first, slots, workers))
            for first in range(min(workers, slots))
        ]

    def advance(
        self,
        starts: Mapping[int, tuple[str, int]],
        actions: Mapping[int, Any],
        unseen: Collection[int] = (),
    ) -> dict[int, Moment]:
        """Begins the episodes (task, seed) of `starts` and acts once in those of `actions`.

        Nothing is drawn after an action in the slots `unseen`, whose pictures stay as they were:
        drawing is what takes most of the time of many simulators. Beginnings and ends are drawn.

        Returns what each of these slots gave, and what was lost elsewhere with a crashed worker.

        Raises:
          DataError: a task or an action that does not exist, whatever the simulator says the user
            can mend, and a worker that crashes again and again.
        """
        for task, _ in starts.values():
            find_task(self._simulator, task)
        for worker in self._workers:
            worker.send(starts, actions, unseen)
        moments: dict[int, Moment] = {}
        for worker in self._workers:
            moments |= worker.answer(self.patience)
        return moments

    def close(self, *, grace: float = _GRACE) -> None:
        """Ends the workers, after at most `grace` seconds by force."""
        for worker in self._workers:
            worker.hang_up()
        until = time.monotonic() + grace
        for worker in self._workers:
            worker.end(until)
        self._workers = []

    def __enter__(self) -> SimulatorPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.close(grace=0.0 if interrupted else _GRACE)


class _Worker:
    """A process, the slots that it plays, and those of them in which an episode runs."""

    def __init__(self, setup: Setup, shared: Any, slots: range):
        self._setup, self._shared, self._slots = setup, shared, slots
        self._live: set[int] = set()
        self._asked, self._task = False, ""
        self._crashes = 0  # since an episode ended
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=serve, args=(self._setup, theirs, self._shared), daemon=True
        )
        with undisturbed():
            self._process.start()
        theirs.close()

    def send(
        self,
        starts: Mapping[int, tuple[str, int]],
        actions: Mapping[int, Any],
        unseen: Collection[int],
    ) -> None:
        mine = [
            {slot: given[slot] for slot in self._slots if slot in given}
            for given in (starts, actions)
        ]
        self._live |= mine[0].keys()
        idle = mine[1].keys() - self._live
        if idle:
            raise ValueError(f"no episode runs in slots {sorted(idle)}; begin one with `starts`")
        if mine[0] and self._setup.simulator.one_task_per_process:
            self._take_up(next(iter(mine[0].values()))[0])
        self._asked = any(mine)
        if self._asked:
            with contextlib.suppress(OSError):  # it is gone, which the answer will tell
                self._pipe.send((*mine, frozenset(unseen)))

    def _take_up(self, task: str) -> None:
        """A fresh process for another task, where the simulator needs one: it has one slot."""
        if self._task not in ("", task):
            self.hang_up()
            self.end(time.monotonic() + _GRACE)
            self._start()
        self._task = task

    def answer(self, patience: float) -> dict[int, Moment]:
        """To what was sent; losses of all its episodes if it crashed, after which it runs again.

        patience: seconds without a sign of life after which it counts as hung.
        """
        if not self._asked:
            return {}
        moments = self._received(patience)
        if isinstance(moments, str):
            raise DataError(moments)
        lost = [moment.lost for moment in moments.values() if moment.lost]
        ended = {slot for slot, moment in moments.items() if moment.done or moment.lost}
        self._live -= ended
        if len(ended) > len(lost):
            self._crashes = 0
        self._crashes += bool(lost)
        if self._crashes > CRASHES:
            raise DataError(
                f"{self._setup.simulator.__name__} crashed {self._crashes} times in one worker, and "
                f"no episode ended in between; the last time: {lost[-1]}"
            )
        return moments

    def _received(self, patience: float) -> dict[int, Moment] | str:
        try:
            while self._hears(patience):
                answer = self._pipe.recv()
                if answer is not None:
                    return answer
            reason = f"its worker hung: no sign of life in {patience:g} s, so it was stopped"
            self.end(0.0)
        except (EOFError, OSError):
            until = time.monotonic() + _LOOK  # it closed the pipe a moment before it ended
            while self._process.is_alive() and time.monotonic() < until:
                time.sleep(0.01)
            reason = f"its worker {_told(self._process.exitcode)}"
            self.end(0.0)
        self._start()
        return {slot: Moment(lost=reason) for slot in sorted(self._live)}

    def _hears(self, patience: float) -> bool:
        """Waits for a message; EOFError if the process is gone, whoever else holds its pipe."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            alive = self._process.is_alive()
            if self._pipe.poll(min(_LOOK, patience)):
                return True
            if not alive:
                raise EOFError
        return False

    def hang_up(self) -> None:
        """Asks the process to close its simulators and end."""
        self._pipe.close()

    def end(self, until: float) -> None:
        """Ends the process, by force once time.monotonic() is `until`."""
        self._process.join(max(0.0, until - time.monotonic()))
        end_worker(self._process)
        self._process.join(_GRACE)
        self._pipe.close()


def _told(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}; did memory run out?"
    return f"ended with exit code {exitcode}; what it printed says why"
