"""Plays what a record lacks, and keeps how fast that was."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from data_pipelines.simulators.pool import SimulatorPool
from experiments.progress_bar import progress
from experiments.rollout.record import TEST, Record
from experiments.rollout.videos import Recorder
from flexlam_jax.acting.chunk_actor import ChunkActor
from flexlam_jax.evaluation.chunk_rollouts import play_chunks
from flexlam_jax.evaluation.rollouts import Episode, Outcome


class Session:
    """The episodes of one command; its pool starts with the first one that is missing."""

    def __init__(self, record: Record, actor: ChunkActor, start: Callable[[], SimulatorPool]):
        self._record, self._actor, self._start = record, actor, start
        self._pool: SimulatorPool | None = None
        self._steps, self._seconds, self._begun = 0, 0.0, _cpu_seconds()

    def outcomes(
        self,
        tasks: Iterable[str],
        seeds: Sequence[int],
        recorder: Recorder | None = None,
        shown: Sequence[int] = (),
    ) -> list[Outcome]:
        """Of all episodes, by task and then by seed; those of the seeds `shown`, of which the
        recorder makes videos, are played first."""
        episodes = [Episode(task, seed) for task in tasks for seed in seeds]
        if recorder:
            missing = set(self._record.missing(TEST, episodes, {}))
            self._play(
                [
                    one
                    for one in episodes
                    if one.seed in shown and (one in missing or not recorder.path(one).exists())
                ],
                recorder,
            )
        self._play(self._record.missing(TEST, episodes, {}))
        return self._record.outcomes(TEST, episodes, {})

    def speed(self) -> dict[str, Any] | None:
        """Of this call: environment steps, seconds with inference and start of the simulators, CPU
        seconds of all processes that have ended and of this one, and decisions per second of the
        policy alone. None where nothing was played."""
        if not self._steps:
            return None
        return {
            "steps": self._steps,
            "seconds": self._seconds,
            "cpu_seconds": _cpu_seconds() - self._begun,
            "steps_per_second": self._steps / self._seconds,
            "decisions_per_second": self._actor.decisions / self._actor.seconds,
        }

    def _play(self, episodes: Sequence[Episode], recorder: Recorder | None = None) -> None:
        if not episodes:
            return
        if self._pool is None:
            self._actor.warm_up()  # before the clock runs, and before simulators do
            self._pool = self._start()
        tick = progress("episodes", len(episodes))

        def ended(outcome: Outcome) -> None:
            if recorder:
                recorder.end(outcome)
            self._record.add(TEST, outcome, {})
            tick()

        begun = time.monotonic()
        watch = recorder.see if recorder else None
        outcomes = play_chunks(self._pool, self._actor, episodes, on_end=ended, watch=watch)
        self._seconds += time.monotonic() - begun
        self._steps += sum(outcome.length for outcome in outcomes)


def _cpu_seconds() -> float:
    """Of this process and of those that it started, once they have ended."""
    return sum(os.times()[:4])
