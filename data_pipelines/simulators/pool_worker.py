"""What a worker process of a `SimulatorPool` does: several simulators, an episode in each."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import traceback
from collections.abc import Collection, Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.processes import begin_worker
from data_pipelines.simulators.behaviours import BEHAVIOURS
from data_pipelines.simulators.rollout import LONGEST, chosen_action, pictures
from data_pipelines.simulators.simulator import Agent, Simulator

SLOW = 0.5  # seconds of a call after which the pool is told that it ended


class Moment(NamedTuple):
    """What one call gave a slot.

    reward: of the step; 0 for the beginning of an episode. done: the simulator ended the episode,
    or it has the task's max_steps. lost: why the episode cannot go on, "" if it can.
    state, language, success: what the simulator says, in a pool that asks; the state of an end that
    cannot be seen is None.
    """

    reward: float = 0.0
    done: bool = False
    lost: str = ""
    state: np.ndarray | None = None
    language: str = ""
    success: bool | None = None


@dataclasses.dataclass(frozen=True)
class Setup:
    """How the simulators of a pool are made; `behaviour` plays in them, "" for who gives actions.

    asks: whether moments tell state, language and success.
    """

    simulator: type[Simulator]
    size: int
    cameras: tuple[str, ...]
    behaviour: str
    asks: bool = False

    def make(self) -> Simulator:
        truth = bool(self.behaviour) and BEHAVIOURS[self.behaviour].ground_truth
        return self.simulator(size=self.size, cameras=self.cameras, ground_truth=truth)


class Slot:
    """One simulator, made when its first episode begins, and the episode that runs in it.

    views: camera -> uint8 (S, S, 3), where the present pictures are written.
    """

    def __init__(self, setup: Setup, views: Mapping[str, np.ndarray]):
        self._setup, self._views = setup, views
        self._simulator: Simulator | None = None
        self._agent: Agent | None = None
        self._steps = 0

    def begin(self, task: str, seed: int) -> Moment:
        """Starts an episode; what is random in it is a function of (task, seed)."""
        if self._simulator is None:
            self._simulator = self._setup.make()
        self._simulator.reset(seed, task)
        self._steps = 0
        if self._setup.behaviour:
            rng = np.random.default_rng([seed, 1])
            self._agent = BEHAVIOURS[self._setup.behaviour].make(self._simulator, rng)
        self._show()
        return self._moment(0.0, done=False)

    def act(self, action: Any, unseen: bool = False) -> Moment:
        """Acts once; None: as the pool's behaviour does. unseen: nothing is drawn, unless it ends.

        Raises DataError for an action that the task does not have, and an episode without a bound
        that does not end in LONGEST steps.
        """
        simulator, task = self._simulator, self._simulator.task
        agent = (lambda frames: action) if self._agent is None else self._agent
        frames = {camera: view.copy() for camera, view in self._views.items()}
        reward, done = simulator.step(chosen_action(simulator, agent, frames))
        self._steps += 1
        shown = not done or simulator.shows_end
        ended = bool(done) or self._steps == task.max_steps
        if shown and (ended or not unseen):
            self._show()
        if not done and not task.max_steps and self._steps >= LONGEST:
            raise DataError(
                f"{task.name}: an episode did not end in {LONGEST} steps; give the task's TaskSpec "
                "max_steps"
            )
        return self._moment(float(reward), done=ended, shown=shown)

    def close(self) -> None:
        simulator, self._simulator = self._simulator, None
        if simulator is not None:
            simulator.close()

    def _show(self) -> None:
        shown = pictures(self._simulator)
        for camera, view in self._views.items():
            view[:] = shown[camera]

    def _moment(self, reward: float, *, done: bool, shown: bool = True) -> Moment:
        if not self._setup.asks:
            return Moment(reward, done)
        simulator = self._simulator
        state = np.asarray(simulator.state(), np.float32) if shown else None
        solved = simulator.success()
        solved = None if solved is None else bool(solved)
        return Moment(reward, done, "", state, simulator.language(), solved)


def views_of(setup: Setup, shared: Any) -> dict[str, np.ndarray]:
    """Camera -> uint8 (slots, S, S, 3), views of the bytes of all pictures of a pool."""
    shape = (len(setup.cameras), -1, setup.size, setup.size, 3)
    screens = np.frombuffer(shared, np.uint8).reshape(shape)
    return dict(zip(setup.cameras, screens, strict=True))


def serve(setup: Setup, pipe: Connection, shared: Any) -> None:
    """Answers (starts, actions, unseen) by {slot: Moment} until the pipe is closed, a DataError by
    its text.

    A None before the answer says that slow simulators are at work, and none hangs. shared: the
    bytes of all pictures of the pool.
    """
    begin_worker()
    os.set_inheritable(pipe.fileno(), False)  # an engine that outlives this process would hold it
    views = views_of(setup, shared)
    slots: dict[int, Slot] = {}
    try:
        while True:
            try:
                starts, actions, unseen = pipe.recv()
            except EOFError:
                return
            for number in starts:
                mine = {camera: view[number] for camera, view in views.items()}
                slots.setdefault(number, Slot(setup, mine))
            try:
                pipe.send(_advance(slots, starts, actions, unseen, pipe))
            except DataError as error:
                pipe.send(str(error))
    finally:
        for slot in slots.values():
            slot.close()


def _advance(
    slots: Mapping[int, Slot],
    starts: Mapping[int, tuple[str, int]],
    actions: Mapping[int, Any],
    unseen: Collection[int],
    pipe: Connection,
) -> dict[int, Moment]:
    calls = {number: ("begin", *start) for number, start in starts.items()}
    calls |= {number: ("act", action, number in unseen) for number, action in actions.items()}
    moments = {}
    for number, call in calls.items():
        start = time.monotonic()
        moments[number] = _try(slots[number], *call)
        if time.monotonic() - start > SLOW:
            pipe.send(None)
    return moments


def _try(slot: Slot, call: str, *arguments: Any) -> Moment:
    """What a call gives; a simulator that fails loses its episode, and the next gets a new one."""
    try:
        return getattr(slot, call)(*arguments)
    except DataError:
        raise
    except Exception as error:
        with contextlib.suppress(Exception):  # it is broken, and said so
            slot.close()
        at = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())[:300]
        return Moment(lost=f"{type(error).__name__}: {text} ({at.filename}:{at.lineno})")
