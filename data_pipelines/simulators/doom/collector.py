"""Plays and spools episodes in several processes; how many never changes the result."""

from __future__ import annotations

import atexit
import collections
import concurrent.futures
import pathlib
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from data_pipelines.conversion.splits import SPLITS
from data_pipelines.conversion.spool import write_episode
from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.simulators.doom.behaviours import BEHAVIOURS, split_name
from data_pipelines.simulators.doom.game import DoomPlayer

MIN_FRAMES = 8  # an episode that ends sooner (a death at the start) is left out and counted

_players: dict[tuple, DoomPlayer] = {}  # one per process: a game takes 0.3 s to start


def _player(scenario: str, size: int, ground_truth: bool) -> DoomPlayer:
    """This process's running game."""
    key = (scenario, size, ground_truth)
    if key not in _players:
        _close_players()  # one game at a time keeps memory low
        atexit.unregister(_close_players)
        atexit.register(_close_players)
        _players[key] = DoomPlayer(scenario, size=size, ground_truth=ground_truth)
    return _players[key]


def _close_players() -> None:
    while _players:
        _players.popitem()[1].close()


def play(
    player: DoomPlayer, dataset: str, seed: np.random.SeedSequence
) -> dict[str, np.ndarray | float] | None:
    """Plays one episode as the behaviour in the dataset's name says.

    Returns None if the episode ended before its recording began, else frames uint8 (N, S, S, 3),
    action int32 (N-1,), reward float32 (N-1,), state float32 (N, S') and episode_return, the sum
    over all steps taken, recorded or not. There is no frame after the step that ends an episode, so
    that step is in the return only.
    """
    scenario, name = split_name(dataset)
    behaviour = BEHAVIOURS[name]
    game_seed, policy_seed = seed.spawn(2)
    player.reset(int(game_seed.generate_state(1)[0]))
    policy = behaviour.make(scenario, player, np.random.default_rng(policy_seed))
    for _ in range(behaviour.skip_steps):
        player.step(policy.act())
        if player.finished():
            return None
    frames, states, actions, rewards = [player.frame()], [player.state()], [], []
    while not behaviour.max_steps or len(actions) < behaviour.max_steps:
        action = policy.act()
        reward = player.step(action)
        if player.finished():
            break
        actions.append(action)
        rewards.append(reward)
        frames.append(player.frame())
        states.append(player.state())
    return {
        "frames": np.stack(frames),
        "action": np.array(actions, np.int32),
        "reward": np.array(rewards, np.float32),
        "state": np.stack(states),
        "episode_return": player.episode_return(),
    }


def _play_and_spool(spec: DatasetSpec, folder: pathlib.Path, seed: int, episode: int) -> int:
    """Task of one worker: returns the number of frames, also when there are too few to keep."""
    scenario, behaviour = split_name(spec.name)
    player = _player(scenario, spec.image_shape[0], BEHAVIOURS[behaviour].ground_truth)
    sequence = np.random.SeedSequence([seed, zlib.crc32(spec.name.encode()), episode])
    record = play(player, spec.name, sequence)
    if record is None:
        return 0
    frames = record.pop("frames")
    if len(frames) >= MIN_FRAMES:
        write_episode(folder, spec, episode, frames, source=f"seed {seed}/{episode}", **record)
    return len(frames)


def collect_dataset(
    spec: DatasetSpec,
    folder: pathlib.Path,
    *,
    transitions: int,
    seed: int,
    pool: concurrent.futures.Executor,
    ahead: int,
    report: Callable[[int], None],
) -> list[tuple[str, str, str]]:
    """Spools whole episodes, at least one per split, until they hold `transitions` transitions.

    Returns (item, reason, detail) of those skipped.

    Episodes are counted in order of their number and every episode has its own seed, so neither the
    number of workers nor their speed decides what is kept. `ahead` tasks run before it is known
    whether they are needed; superfluous ones are removed.
    """
    pending: collections.deque[tuple[int, concurrent.futures.Future]] = collections.deque()
    # A bound, for scenarios whose episodes always end at once.
    numbers = iter(range(100 * transitions))
    skipped, total, episodes = [], 0, 0
    for episode, count in _in_order(spec, folder, seed, pool, ahead, numbers, pending):
        if count < MIN_FRAMES:
            skipped.append((f"{spec.name} episode {episode}", "too short", f"{count} frames"))
            continue
        total, episodes = total + count - 1, episodes + 1
        report(count - 1)
        if total >= transitions and episodes >= len(SPLITS):
            break
    for episode, future in pending:
        future.result()
        for suffix in (".npz", ".frames"):
            (folder / f"{episode:08d}{suffix}").unlink(missing_ok=True)
    if total < transitions:
        raise DataError(f"{spec.name}: episodes are too short to collect {transitions} transitions")
    return skipped


def _in_order(spec, folder, seed, pool, ahead, numbers, pending) -> Iterator[tuple[int, int]]:
    for episode in numbers:
        pending.append((episode, pool.submit(_play_and_spool, spec, folder, seed, episode)))
        if len(pending) >= ahead:
            done, future = pending.popleft()
            yield done, future.result()
    while pending:
        done, future = pending.popleft()
        yield done, future.result()
