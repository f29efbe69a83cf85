"""What a behaviour earns: whole episodes, one after the other, each process by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.processes import worker_pool
from data_pipelines.simulators.pool_worker import Setup, Slot
from data_pipelines.simulators.simulator import Simulator

_CHUNK = 25  # episodes of a job: a game takes a while to start


class Played(NamedTuple):
    """The sum of an episode's rewards, and its number of steps."""

    episode_return: float
    length: int


def play_behaviours(
    simulator: type[Simulator],
    behaviours: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[int],
    *,
    workers: int,
    size: int = 64,
    report: Callable[[int], None] = lambda count: None,
) -> dict[tuple[str, str], list[Played]]:
    """(behaviour, task) -> its episodes, one per seed, as a `SimulatorPool` plays them.

    Each lasts until the simulator, or the task's max_steps, ends it. report(count) is called as
    episodes are done.

    Raises:
      DataError: a killed worker, whatever the simulator says the user can mend. Other exceptions of
        a simulator come out as they are.
    """
    parts = [seeds[first : first + _CHUNK] for first in range(0, len(seeds), _CHUNK)]
    with worker_pool(workers) as pool:
        jobs = {
            (behaviour, task): [
                pool.submit(
                    _play, Setup(simulator, size, simulator.cameras[:1], behaviour), task, p
                )
                for p in parts
            ]
            for behaviour in behaviours
            for task in tasks
        }
        played: dict[tuple[str, str], list[Played]] = {}
        for key, futures in jobs.items():
            played[key] = []
            for future in futures:
                played[key] += future.result()
                report(len(future.result()))
    return played


def _play(setup: Setup, task: str, seeds: Sequence[int]) -> list[Played]:
    """Job of one worker."""
    views = {name: np.zeros((setup.size, setup.size, 3), np.uint8) for name in setup.cameras}
    played = []
    with contextlib.closing(Slot(setup, views)) as slot:
        for seed in seeds:
            moment, total, length = slot.begin(task, seed), 0.0, 0
            while not moment.done:
                moment = slot.act(None)
                total, length = total + moment.reward, length + 1
            played.append(Played(total, length))
    return played
