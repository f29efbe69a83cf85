"""Records Meta-World's scripted experts into the HDF5 layout of episodes.py.

    MUJOCO_GL=egl python -m data_pipelines.simulators.metaworld.record \
        --task=door-open-v3 --episodes=10 --out=raw/metaworld/door-open-v3.hdf5

Needs `pip install metaworld "mujoco<4" packaging`. One task and camera per process: when one
off-screen renderer is closed, another in the same process may return black frames without an error.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from data_pipelines.optional import require
from data_pipelines.simulators.metaworld.simulator import FPS, MetaWorld
from data_pipelines.simulators.rollout import Episode, check_renderer, rollout
from data_pipelines.simulators.simulator import Simulator
from data_pipelines.whole_files import whole_file


def record(
    simulator: Simulator, task: str, *, episodes: int, seed: int, max_steps: int
) -> Iterator[Episode]:
    """Episodes of the scripted expert, each until it is done or has max_steps steps.

    Raises DataError for blank or repeated frames.
    """
    for number in range(episodes):
        simulator.reset(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]), task)
        episode = rollout(simulator, simulator.expert(), max_steps=max_steps)
        for frames in episode.frames.values():
            check_renderer(frames, simulator.min_distinct, f"{task} episode {number}")
        yield episode


def write_task(
    path: pathlib.Path, episodes: Iterable[Episode], camera: str, **attributes: Any
) -> int:
    """Writes the file at once when all `episodes` are there; returns their number."""
    h5py = require("h5py")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with whole_file(path) as unfinished, h5py.File(unfinished, "w") as file:
        file.attrs.update(attributes)
        for count, episode in enumerate(episodes, start=1):
            group = file.create_group(f"episode_{count - 1}")
            group.attrs["success"] = episode.metadata["success"]
            for name in ("state", "action", "reward"):
                group[name] = getattr(episode, name)
            frames = episode.frames[camera]
            group.create_dataset(
                f"frames/{camera}",
                data=frames,
                chunks=(min(16, len(frames)), *frames.shape[1:]),
                compression="gzip",
            )
    return count


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", required=True, help="door-open-v3, ...")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="file to write, *.hdf5")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--camera", default="corner2")
    parser.add_argument("--size", type=int, default=128, help="pixels of a side")
    parser.add_argument("--max-steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    with MetaWorld(size=args.size, cameras=(args.camera,)) as simulator:
        episodes = record(
            simulator, args.task, episodes=args.episodes, seed=args.seed, max_steps=args.max_steps
        )
        count = write_task(args.out, episodes, args.camera, task=args.task, fps=FPS, seed=args.seed)
    print(f"{args.out}: {count} episodes")


if __name__ == "__main__":
    main()
