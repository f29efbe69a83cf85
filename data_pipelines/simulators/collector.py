"""Plays and spools episodes in several processes; how many never changes the result.

Every episode has a seed of its own and is kept or left out for itself, so whoever is killed goes on
with the episodes that are missing.
"""

from __future__ import annotations

import atexit
import collections
import concurrent.futures
import dataclasses
import functools
import os
import pathlib
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data_pipelines.conversion.output import writing
from data_pipelines.conversion.splits import SPLITS
from data_pipelines.conversion.spool import read_episode, write_episode
from data_pipelines.conversion.success_rates import FAILED, LOST
from data_pipelines.distractors.options import Distraction
from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.processes import worker_pool
from data_pipelines.readers.recordings import Skipped
from data_pipelines.simulators.behaviours import BEHAVIOURS
from data_pipelines.simulators.rollout import Episode, check_renderer, rollout
from data_pipelines.simulators.simulator import EpisodeLost, Simulator
from data_pipelines.simulators.streams import rendered, shown
from data_pipelines.whole_files import whole_file

MIN_FRAMES = 8  # an episode that ends sooner (a death at the start) is left out and counted
TRIES = 4  # episodes played for each demonstration that is asked for, at most
CRASHES = 5  # episodes lost in a row after which a job gives up
# Reason why an episode is left out -> in the name of the file that says so.
_MARKS = {"too short": "short", FAILED: "failed"}

_running: dict[tuple, Simulator] = {}  # one per process: a game takes 0.3 s to start


@dataclasses.dataclass(frozen=True)
class Job:
    """One task, played by one behaviour until it has `transitions` transitions, or as many
    `demonstrations`: then episodes that were not solved are left out.

    views: key of a stream (a camera; see streams.py) -> its dataset; folder: where episodes of each
    dataset are spooled, beside which half-written ones lie in folders work-*. added: distractors.
    """

    simulator: type[Simulator]
    name: str  # <task>_<behaviour>
    task: str
    behaviour: str
    views: dict[str, DatasetSpec]
    folder: pathlib.Path
    seed: int
    transitions: int
    demonstrations: int = 0
    added: Distraction | None = None

    def folders(self) -> list[pathlib.Path]:
        """Of its datasets, the one that is written last at the end."""
        return [self.folder / spec.name for spec in self.views.values()]


class Played(NamedTuple):
    """An episode that was played. left_out: why it is not kept, "" if it is; detail: in words."""

    frames: int
    left_out: str = ""
    detail: str = ""


def collect(jobs: Sequence[Job], *, workers: int, report: Callable[[int], None]) -> list[Skipped]:
    """Spools what is missing of all jobs, in order; returns the episodes that were left out.

    report(count) is called as transitions are done. Raises DataError for a renderer that died, and
    for a job whose episodes are too short.
    """
    alone = any(job.simulator.one_task_per_process for job in jobs)
    skipped: list[Skipped] = []
    for group in [[job] for job in jobs] if alone else [jobs]:
        with worker_pool(workers) as pool:
            for job in group:
                skipped += _collect_job(job, pool, 2 * workers, report)
    return skipped


def _collect_job(
    job: Job, pool: concurrent.futures.Executor, ahead: int, report: Callable[[int], None]
) -> list[Skipped]:
    """Spools whole episodes, at least one per split, until they hold the job's transitions.

    Of demonstrations there may be fewer, where the expert fails, and none, where too few for the
    splits are solved. Episodes are counted in order of their number, so neither the number of
    workers nor their speed decides what is kept. `ahead` tasks run before it is known whether they
    are needed.
    """
    pending: collections.deque[tuple[int, Callable[[], Played]]] = collections.deque()
    skipped, total, episodes, last, crashes = [], 0, 0, -1, 0
    for last, played in _in_order(job, pool, ahead, pending):
        crashes = crashes + 1 if played.left_out == LOST else 0
        if crashes > CRASHES:
            raise DataError(
                f"{job.name}: {crashes} episodes in a row were lost, the last one: {played.detail}"
            )
        if played.left_out:
            name = f"{job.name} episode {last}"
            skipped.append(Skipped(name, played.left_out, played.detail))
            continue
        total, episodes = total + played.frames - 1, episodes + 1
        report(played.frames - 1)
        enough = max(len(SPLITS), job.demonstrations)
        if total >= job.transitions and episodes >= enough:
            break
    for _, result in pending:
        result()
    if job.demonstrations and episodes < len(SPLITS):
        last = -1
    _remove_after(job, last)
    if total < job.transitions:
        raise DataError(
            f"{job.name}: episodes are too short to collect {job.transitions} transitions"
        )
    return skipped


def _in_order(job: Job, pool, ahead: int, pending) -> Iterator[tuple[int, Played]]:
    """Numbered episodes one after the other, `ahead` of them at work."""
    # A bound, where episodes always end at once, or are never solved.
    most = TRIES * job.demonstrations if job.demonstrations else 100 * job.transitions
    for episode in range(most):
        played = finished(job, episode)
        if played is not None and not pending:  # none is played beyond a job that is complete
            yield episode, played
            continue
        if played is None:
            pending.append((episode, pool.submit(play_and_spool, job, episode).result))
        else:
            pending.append((episode, functools.partial(Played, *played)))
        if len(pending) >= ahead:
            done, result = pending.popleft()
            yield done, result()
    while pending:
        done, result = pending.popleft()
        yield done, result()


def finished(job: Job, episode: int) -> Played | None:
    """What is known of an episode that was played already, also if it is left out."""
    last = job.folders()[-1]
    if (last / f"{episode:08d}.npz").exists():
        return Played(read_episode(last, episode).length)
    for reason, mark in _MARKS.items():
        for path in last.glob(f"{episode:08d}.{mark}-*"):
            count = int(path.name.rpartition("-")[2])
            # Of a build that an older version began it is empty.
            return Played(count, reason, path.read_text() or f"{count} frames")
    return None


def _remove_after(job: Job, last: int) -> None:
    """Removes the episodes after the last one that is needed."""
    for folder in job.folders():
        for path in folder.glob("[0-9]" * 8 + ".*"):
            if int(path.name[:8]) > last:
                path.unlink()


def play_and_spool(job: Job, episode: int) -> Played:
    """Task of one worker. An episode that a simulator loses is begun again, once."""
    try:
        try:
            played = play(job, episode)
        except EpisodeLost:
            _close()
            played = play(job, episode)
        told = _judged(job, played)
    except EpisodeLost as error:
        _close()
        told = Played(0, LOST, str(error))
    except Exception as error:  # of somebody's simulator or agent: its traceback says where
        error.add_note(f"while playing {job.name} episode {episode}, seed {job.seed}")
        raise
    if not told.left_out:
        for camera, frames in played.frames.items():
            if camera not in job.simulator.maps:  # a mask may stand still
                check_renderer(
                    frames, job.simulator.min_distinct, f"{job.name} episode {episode}, {camera}"
                )
        _spool(job, episode, played)
    elif told.left_out in _MARKS:
        _mark(job, episode, told)
    return told


def _judged(job: Job, played: Episode | None) -> Played:
    """Whether an episode is kept."""
    count = 0 if played is None else played.length
    if count < MIN_FRAMES:
        return Played(count, "too short", f"{count} frames")
    if job.demonstrations and not played.metadata.get("success"):
        return Played(count, FAILED, f"not solved in {count - 1} steps")
    return Played(count)


def _mark(job: Job, episode: int, told: Played) -> None:
    """Leaves word of an episode that was left out; one that was lost is played by the next start."""
    last = job.folders()[-1]
    with writing(last):
        last.mkdir(parents=True, exist_ok=True)
        name = f"{episode:08d}.{_MARKS[told.left_out]}-{told.frames}"
        with whole_file(last / name) as unfinished:
            unfinished.write_text(told.detail)


def play(job: Job, episode: int) -> Episode | None:
    """Plays one episode; it is a function of the job's seed and name, and its number."""
    behaviour = BEHAVIOURS[job.behaviour]
    simulator = _simulator(job)
    sequence = np.random.SeedSequence(_seed(job, episode))
    world, actions = sequence.spawn(2)
    simulator.reset(int(world.generate_state(1)[0]), job.task)
    agent = behaviour.make(simulator, np.random.default_rng(actions))
    bounds = [bound for bound in (behaviour.max_steps, simulator.task.max_steps) if bound]
    return rollout(
        simulator, agent, max_steps=min(bounds, default=0), skip_steps=behaviour.skip_steps
    )


def _seed(job: Job, episode: int) -> tuple[int, ...]:
    return job.seed, zlib.crc32(job.name.encode()), episode


def _spool(job: Job, episode: int, played: Episode) -> None:
    """Writes all views of an episode beside their place, then moves them: all, or to be redone."""
    with writing(job.folder):
        job.folder.mkdir(parents=True, exist_ok=True)
        work = pathlib.Path(tempfile.mkdtemp(dir=job.folder.parent, prefix="work-"))
    try:
        action = _within(next(iter(job.views.values())).action, played.action)
        streams = shown(
            played.frames, played.state, action, job.views, job.added, _seed(job, episode)
        )
        for key, (frames, state) in streams:
            spec = job.views[key]
            write_episode(
                work / spec.name,
                spec,
                episode,
                frames,
                action=action,
                reward=played.reward,
                state=state,
                episode_return=played.episode_return,
                source=f"seed {job.seed}/{episode}",
                metadata=played.metadata,
            )
        for folder in job.folders():
            with writing(folder):
                folder.mkdir(exist_ok=True)
                for suffix in (".frames", ".npz"):  # the second one makes it count
                    name = f"{episode:08d}{suffix}"
                    os.replace(work / folder.name / name, folder / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _within(spec: ActionSpec, action: np.ndarray) -> np.ndarray:
    """What the simulator did of what the agent asked."""
    return action if spec.kind == "discrete" else np.clip(action, spec.low, spec.high)


def _simulator(job: Job) -> Simulator:
    """This process's running simulator."""
    size = next(iter(job.views.values())).image_shape[0]
    truth = BEHAVIOURS[job.behaviour].ground_truth
    task = job.task if job.simulator.one_task_per_process else None
    cameras = rendered(job.views, job.added)
    key = (job.simulator, size, cameras, truth, task)
    if key not in _running:
        _close()  # one at a time keeps memory low
        atexit.unregister(_close)
        atexit.register(_close)
        _running[key] = job.simulator(size=size, cameras=cameras, ground_truth=truth)
    return _running[key]


def _close() -> None:
    while _running:
        _running.popitem()[1].close()
