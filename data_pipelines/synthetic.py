"""A tiny deterministic dataset: a controllable square on a textured background.

Needs no simulator and is written in about a second; tests and the `debug` preset use it. Five
actions move the square, which wraps around the edges; every episode has its own background, so the
action shows only in the motion.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.registry import Collected
from data_pipelines.spec import ActionSpec, DatasetSpec
from data_pipelines.spool import write_episode

DESCRIPTION = (
    "moving square on a textured background, five actions, no simulator; for tests and debugging"
)
NAME = "square"
ACTIONS = ("stay", "left", "right", "up", "down")
MOVES = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])  # (x, y) per action
STICKY = 0.7  # an action is kept with this probability, as in the doom recipe


def add_arguments(parser) -> None:
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=24)
    parser.add_argument("--length", type=int, default=41, help="frames per episode")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side, at least 16")
    parser.add_argument("--codec", default="zstd", choices=("raw", "png", "jpeg", "zstd"))
    parser.add_argument("--clip-stride", type=int, default=8, help="transitions owned by a record")
    parser.add_argument(
        "--max-span", type=int, default=8, help="longest window, in frames minus one"
    )


def options(args) -> dict[str, Any]:
    names = ("seed", "episodes", "length", "size", "codec", "clip_stride", "max_span")
    return {name: getattr(args, name) for name in names}


def expected_transitions(options: dict[str, Any]) -> int:
    return options["episodes"] * (options["length"] - 1)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """uint8 (size, size, 3): coloured blocks of size/8 pixels, darker than any square."""
    cells = -(-size // max(1, size // 8))
    coarse = rng.integers(0, 160, (cells, cells, 3), dtype=np.uint8)
    block = max(1, size // 8)
    return np.repeat(np.repeat(coarse, block, axis=0), block, axis=1)[:size, :size]


def simulate(rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, ...]:
    """One episode: frames uint8 (N, S, S, 3), action int32 (N-1,), reward float32 (N-1,), state (N,
    2).

    The state is the square's corner (x, y) in pixels; the reward is 1 while it is in the left half.
    """
    background, square, step = _background(rng, size), max(2, size // 5), max(1, size // 16)
    colour = rng.integers(200, 256, 3, dtype=np.uint8)
    position = rng.integers(0, size, 2)
    action = int(rng.integers(len(ACTIONS)))
    frames = np.repeat(background[None], length, axis=0)
    actions, states = np.zeros(length - 1, np.int32), np.zeros((length, 2), np.float32)
    for t in range(length):
        states[t] = position
        columns, rows = ((position[i] + np.arange(square)) % size for i in (0, 1))
        frames[t][np.ix_(rows, columns)] = colour
        if t < length - 1:
            if rng.random() >= STICKY:
                action = int(rng.integers(len(ACTIONS)))
            actions[t] = action
            position = (position + step * MOVES[action]) % size
    reward = (states[1:, 0] < size / 2).astype(np.float32)
    return frames, actions, reward, states


def episodes(options: dict[str, Any]) -> Iterator[tuple[np.ndarray, ...]]:
    """All episodes as arrays, for tests that compare records with what went in."""
    for i in range(options["episodes"]):
        yield simulate(
            np.random.default_rng([options["seed"], i]), options["length"], options["size"]
        )


def collect(
    options: dict[str, Any], spool: pathlib.Path, report: Callable[[int], None]
) -> Collected:
    if options["size"] < 16 or options["length"] < 2:
        raise DataError(
            f"synthetic: --size must be at least 16 and --length at least 2, got {options['size']} "
            f"and {options['length']}"
        )
    spec = DatasetSpec(
        name=NAME,
        image_shape=(options["size"], options["size"], 3),
        codec=options["codec"],
        action=ActionSpec("discrete", ACTIONS),
        has_reward=True,
        state_names=("x", "y"),
        behaviour=f"random, action kept with probability {STICKY}",
        fps=10.0,
        clip_stride=options["clip_stride"],
        max_span=options["max_span"],
    )
    for i, (frames, action, reward, state) in enumerate(episodes(options)):
        write_episode(
            spool / NAME,
            spec,
            i,
            frames,
            action=action,
            reward=reward,
            state=state,
            episode_return=float(reward.sum()),
            source=f"seed {options['seed']}/{i}",
        )
        report(len(action))
    return Collected(specs=[spec], sources={"generator": "data_pipelines.synthetic"})
