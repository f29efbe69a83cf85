"""A tiny deterministic dataset: a controllable square on a textured background.

Needs no simulator and is written in about a second; tests and the `debug` preset use it. Five
actions move the square, which wraps around the edges; every episode has its own background, so the
action shows only in the motion.

`--distractors` adds squares that move by themselves. `--exogenous-pairs` writes every episode
twice, with equal actions and agent, but another background and other distractors; `--cameras=2`
adds a second view, the first one turned by 90 degrees; `--masks` adds where the square shows and
where the distractors do. The datasets of one episode are synchronous: `recording` is equal in their
specs. The state holds the places and moves of the distractors after the square's.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.conversion.splits import SPLITS
from data_pipelines.conversion.spool import list_episodes, write_episode
from data_pipelines.errors import DataError
from data_pipelines.format.codecs import get_codec
from data_pipelines.format.maps import AGENT_MASK, EXOGENOUS_MASK
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.readers.recordings import Skipped

DESCRIPTION = (
    "moving square on a textured background, five actions, no simulator; for tests and debugging"
)
NAME = "square"
ACTIONS = ("stay", "left", "right", "up", "down")
MOVES = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])  # (x, y) per action
MASKS = (AGENT_MASK, EXOGENOUS_MASK)
DEFAULT_EXTRA = {"distractors": 0, "exogenous_pairs": False, "cameras": 1, "masks": False}
STICKY = 0.7  # an action is kept with this probability, as in the doom recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=24)
    parser.add_argument("--length", type=int, default=41, help="frames per episode")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side, at least 16")
    parser.add_argument("--codec", default="zstd", choices=("raw", "png", "jpeg", "zstd"))
    parser.add_argument("--clip-stride", type=int, default=8, help="transitions owned by a record")
    parser.add_argument(
        "--max-span", type=int, default=8, help="longest window, in frames minus one"
    )
    parser.add_argument("--distractors", type=int, default=0, help="squares nobody controls")
    parser.add_argument(
        "--exogenous-pairs", action="store_true", help="each episode with two backgrounds"
    )
    parser.add_argument("--cameras", type=int, default=1, choices=(1, 2), help="views")
    parser.add_argument(
        "--masks",
        action="store_true",
        help="also where the square and where distractors show: datasets square_agent_mask and "
        "square_exogenous_mask",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    names = ("seed", "episodes", "length", "size", "codec", "clip_stride", "max_span")
    given = {name: getattr(args, name) for name in names}
    # Folders written before these options existed stay as they are.
    extra = {name: getattr(args, name) for name in DEFAULT_EXTRA}
    return given | {name: v for name, v in extra.items() if v != DEFAULT_EXTRA[name]}


def streams(options: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """{dataset: (exogenous process, camera)}; both are "" where there is only one."""
    worlds = ("a", "b") if options.get("exogenous_pairs") else ("",)
    # Of one view the frames' dataset keeps its name, with masks beside it or without.
    named = {"top": "top", "side": "side"} if options.get("cameras", 1) == 2 else {"": ""}
    if options.get("masks"):
        named = {"": "top"} | {mask: mask for mask in MASKS}
    return {
        "_".join(filter(None, (NAME, world, name))): (world, camera)
        for world in worlds
        for name, camera in named.items()
    }


def expected_transitions(options: dict[str, Any]) -> int:
    return options["episodes"] * (options["length"] - 1) * len(streams(options))


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """uint8 (size, size, 3): coloured blocks of size/8 pixels, darker than any square."""
    cells = -(-size // max(1, size // 8))
    coarse = rng.integers(0, 160, (cells, cells, 3), dtype=np.uint8)
    block = max(1, size // 8)
    return np.repeat(np.repeat(coarse, block, axis=0), block, axis=1)[:size, :size]


class Simulated(NamedTuple):
    """One episode: frames uint8 (N, S, S, 3), action int32 (N-1,), reward float32 (N-1,), state
    float32 (N, 2 + 4 D) with D distractors; where the square and where distractors show: bool (N, S,
    S)."""

    frames: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    state: np.ndarray
    agent: np.ndarray
    exogenous: np.ndarray


def _exogenous(
    rng: np.random.Generator, background: np.ndarray, length: int, distractors: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The background, and on it squares that walk at random: frames uint8 (N, S, S, 3), where the
    squares are bool (N, S, S), state float32 (N, 4 D)."""
    frames, size = np.repeat(background[None], length, axis=0), len(background)
    side, step = max(2, size // 6), max(1, size // 16)
    mask, states = np.zeros(frames.shape[:3], bool), [np.zeros((length, 0))]
    for _ in range(distractors):
        colour = rng.integers(160, 200, 3, dtype=np.uint8)
        moves = MOVES[rng.integers(len(MOVES), size=length)] * step
        corners = (rng.integers(0, size, 2) + np.cumsum(moves, axis=0)) % size
        states.append(np.concatenate([corners, moves], axis=1))
        for frame, covered, corner in zip(frames, mask, corners, strict=True):
            columns, rows = ((corner[i] + np.arange(side)) % size for i in (0, 1))
            frame[np.ix_(rows, columns)] = colour
            covered[np.ix_(rows, columns)] = True
    return frames, mask, np.concatenate(states, axis=1).astype(np.float32)


def simulate(
    rng: np.random.Generator,
    length: int,
    size: int,
    distractors: int = 0,
    exogenous: np.random.Generator | None = None,
) -> Simulated:
    """One episode.

    The state is the square's corner (x, y) in pixels, and of every distractor its corner and the
    move that brought it there; the reward is 1 while the square is in the left half. `rng` decides
    the agent, and the background too unless `exogenous` does; distractors need it.
    """
    background, square, step = _background(rng, size), max(2, size // 5), max(1, size // 16)
    if exogenous is not None:
        background = _background(exogenous, size)
    colour = rng.integers(200, 256, 3, dtype=np.uint8)
    position = rng.integers(0, size, 2)
    action = int(rng.integers(len(ACTIONS)))
    frames, mask, added = _exogenous(exogenous, background, length, distractors)
    agent = np.zeros_like(mask)
    actions, states = np.zeros(length - 1, np.int32), np.zeros((length, 2), np.float32)
    for t in range(length):
        states[t] = position
        columns, rows = ((position[i] + np.arange(square)) % size for i in (0, 1))
        frames[t][np.ix_(rows, columns)] = colour
        agent[t][np.ix_(rows, columns)] = True
        if t < length - 1:
            if rng.random() >= STICKY:
                action = int(rng.integers(len(ACTIONS)))
            actions[t] = action
            position = (position + step * MOVES[action]) % size
    reward = (states[1:, 0] < size / 2).astype(np.float32)
    whole = np.concatenate([states, added], axis=1)
    return Simulated(frames, actions, reward, whole, agent, mask & ~agent)


def episodes(options: dict[str, Any]) -> Iterator[tuple[np.ndarray, ...]]:
    """All episodes of the first dataset as arrays, for tests that compare records with them."""
    for i in range(options["episodes"]):
        yield episode(options, i, *next(iter(streams(options).values())))


def episode(options: dict[str, Any], i: int, world: str, camera: str) -> tuple[np.ndarray, ...]:
    """Episode i as one stream shows it: frames or mask, action, reward, state; see simulate."""
    exogenous, distractors = None, options.get("distractors", 0)
    if world or distractors:
        exogenous = np.random.default_rng([options["seed"], i, 1 + (world == "b")])
    simulated = simulate(
        np.random.default_rng([options["seed"], i]),
        options["length"],
        options["size"],
        distractors,
        exogenous,
    )
    frames = simulated.frames
    if camera in MASKS:
        shows = simulated.agent if camera == AGENT_MASK else simulated.exogenous
        frames = np.where(shows, 255, 0).astype(np.uint8)[..., None]
    if camera == "side":
        frames = np.rot90(frames, axes=(1, 2))
    return frames, simulated.action, simulated.reward, simulated.state


def _spec(options: dict[str, Any], name: str, world: str, camera: str) -> DatasetSpec:
    exogenous = tuple(
        f"distractor{i}_{column}"
        for i in range(options.get("distractors", 0))
        for column in ("x", "y", "dx", "dy")
    )
    lossy = camera in MASKS and not get_codec(options["codec"]).lossless
    return DatasetSpec(
        name=name,
        image_shape=(options["size"], options["size"], 1 if camera in MASKS else 3),
        codec="zstd" if lossy else options["codec"],
        action=ActionSpec("discrete", ACTIONS),
        has_reward=True,
        state_names=("x", "y", *exogenous),
        behaviour=f"random, action kept with probability {STICKY}",
        fps=10.0,
        camera=camera,
        recording=NAME if world or camera else "",
        exogenous=world,
        exogenous_state=exogenous,
        clip_stride=options["clip_stride"],
        max_span=options["max_span"],
    )


def specs(options: dict[str, Any]) -> list[DatasetSpec]:
    if options["size"] < 16 or options["length"] < 2 or options.get("distractors", 0) < 0:
        raise DataError(
            f"synthetic: --size must be at least 16 and --length at least 2, got {options['size']} "
            f"and {options['length']}; --distractors is a count"
        )
    if options.get("masks") and not options.get("distractors"):
        raise DataError("synthetic: --masks without a distractor; give --distractors, a count")
    if options.get("masks") and options.get("cameras", 1) != 1:
        raise DataError("synthetic: --masks are of one view; leave out --cameras")
    if options["episodes"] < len(SPLITS):
        raise DataError(
            f"dataset {NAME} has {options['episodes']} episodes; three are needed for "
            f"{', '.join(SPLITS)}. Raise --episodes"
        )
    return [_spec(options, name, *stream) for name, stream in streams(options).items()]


def sources(options: dict[str, Any]) -> dict[str, Any]:
    del options
    return {"generator": "data_pipelines.simulators.synthetic"}


def collect(
    options: dict[str, Any], spool: pathlib.Path, workers: int, report: Callable[[int], None]
) -> list[Skipped]:
    del workers  # one does it in a second
    for spec in specs(options):
        done = set(list_episodes(spool / spec.name))
        for i in range(options["episodes"]):
            report(options["length"] - 1)
            if i in done:
                continue
            frames, action, reward, state = episode(options, i, spec.exogenous, spec.camera)
            write_episode(
                spool / spec.name,
                spec,
                i,
                np.ascontiguousarray(frames),
                action=action,
                reward=reward,
                state=state,
                episode_return=float(reward.sum()),
                source=f"seed {options['seed']}/{i}",
            )
    return []
