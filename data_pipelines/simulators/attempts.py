"""How a scripted expert does on a task: what it solves, and whether its actions give that again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.phases import FIELDS
from data_pipelines.simulators.rollout import LONGEST, chosen_action, pictures
from data_pipelines.simulators.simulator import EpisodeLost, Simulator


class Attempt(NamedTuple):
    """One episode of an expert.

    length: steps. lost: why it has no end, "" if it has. replayed: of a solved one, whether its
    actions, played again, gave every state to the bit and solved it again; None if nobody looked.
    cpu_seconds: of this process, with the second playing. at: of one that was not solved, the last
    phases, where the simulator tells any.
    """

    seed: int
    solved: bool
    length: int
    lost: str = ""
    replayed: bool | None = None
    cpu_seconds: float = 0.0
    at: str = ""


class _Trace(NamedTuple):
    actions: list[Any]
    states: list[bytes]  # before each action, and after the last one
    solved: bool
    at: str


class _Views(Mapping[str, np.ndarray]):
    """The present pictures, drawn when somebody looks: most experts do not."""

    def __init__(self, simulator: Simulator):
        self._simulator = simulator
        self._drawn: Mapping[str, np.ndarray] | None = None

    def _pictures(self) -> Mapping[str, np.ndarray]:
        if self._drawn is None:
            self._drawn = pictures(self._simulator)
        return self._drawn

    def __getitem__(self, camera: str) -> np.ndarray:
        return self._pictures()[camera]

    def __iter__(self) -> Iterator[str]:
        return iter(self._simulator.views)

    def __len__(self) -> int:
        return len(self._simulator.views)


def attempt(
    kind: type[Simulator], task: str, seeds: Sequence[int], *, replays: int
) -> list[Attempt]:
    """Lets the expert of a task play an episode per seed, each to its end or the task's max_steps.

    The first `replays` that are solved are played again by their actions, in a new simulator and in
    the other order, so that nothing but seed and actions can be what makes them equal.

    Raises DataError for whatever the simulator says the user can mend, a task without an expert,
    and one of which nobody knows whether it is solved.
    """
    attempts: dict[int, Attempt] = {}
    traces: dict[int, _Trace] = {}
    for seed, trace, lost, seconds in _each(kind, task, seeds, {}):
        attempts[seed] = _attempt(seed, trace, lost, seconds)
        if trace is not None and trace.solved and len(traces) < replays:
            traces[seed] = trace
    for seed, trace, _, seconds in _each(kind, task, list(traces)[::-1], traces):
        equal = trace is not None and trace.solved and trace.states == traces[seed].states
        both = attempts[seed].cpu_seconds + seconds
        attempts[seed] = attempts[seed]._replace(replayed=equal, cpu_seconds=both)
    return list(attempts.values())


def _attempt(seed: int, trace: _Trace | None, lost: str, seconds: float) -> Attempt:
    if trace is None:
        return Attempt(seed, False, 0, lost, cpu_seconds=seconds)
    at = "" if trace.solved else trace.at
    return Attempt(seed, trace.solved, len(trace.actions), cpu_seconds=seconds, at=at)


def _each(
    kind: type[Simulator], task: str, seeds: Sequence[int], traces: Mapping[int, _Trace]
) -> Iterator[tuple[int, _Trace | None, str, float]]:
    """(seed, what happened, why it was lost, CPU seconds); by the actions of `traces`, if any."""
    simulator: Simulator | None = None
    try:
        for seed in seeds:
            begun, trace, lost = time.process_time(), None, ""
            simulator = simulator or kind(ground_truth=not traces)
            try:
                trace = _play(simulator, task, seed, traces.get(seed))
            except EpisodeLost as error:
                simulator.close()
                simulator, lost = None, str(error)
            yield seed, trace, lost, time.process_time() - begun
    finally:
        if simulator is not None:
            simulator.close()


def _play(simulator: Simulator, task: str, seed: int, before: _Trace | None) -> _Trace:
    """An episode of the expert, or of the actions that were taken before."""
    simulator.reset(seed, task)
    choose: Callable[[int], Any]
    if before is None:
        agent = simulator.expert()
        choose = lambda step: chosen_action(simulator, agent, _Views(simulator))
        most = simulator.task.max_steps or LONGEST
    else:
        choose, most = before.actions.__getitem__, len(before.actions)
    actions: list[Any] = []
    states, done = [simulator.simulator_state().tobytes()], False
    while not done and len(actions) < most:
        actions.append(choose(len(actions)))
        done = simulator.step(actions[-1]).done
        if not done or simulator.shows_end:
            states.append(simulator.simulator_state().tobytes())
    solved = simulator.success()
    if solved is None:
        raise DataError(f"{type(simulator).__name__} does not say whether {task} is solved")
    return _Trace(actions, states, bool(solved), _last_phases(simulator.episode_facts()))


def _last_phases(facts: Mapping[str, Any]) -> str:
    """ "Open cabinet_1_top_region, pull"; "" where no phases are told."""
    return ", ".join(facts[kind][-1][1] for kind in FIELDS if facts.get(kind))
